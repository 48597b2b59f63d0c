"""gRPC's messages of the Open Inference Protocol as rows, and answers as messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sampan.errors import ParameterError
from sampan.serving.grpc_messages import message_types, read_infer, write_infer

TYPES = message_types()


def request(*, raw: bool, **more: Any) -> Any:
    message = TYPES["ModelInferRequest"](model_name="orders", id="7", **more)
    amounts = message.inputs.add(name="amount", datatype="FP64", shape=[2])
    shops = message.inputs.add(name="shop", datatype="BYTES", shape=[2, 1])
    if raw:
        message.raw_input_contents.append(np.array([1.5, np.nan]).tobytes())
        message.raw_input_contents.append(b"\x04\x00\x00\x00east\x05\x00\x00\x00H\xc3\xa0 A")
    else:
        amounts.contents.fp64_contents.extend([1.5, float("nan")])
        shops.contents.bytes_contents.extend([b"east", "Hà A".encode()])
    return message


@pytest.mark.parametrize("raw", [True, False])
def test_raw_and_typed_contents_are_the_same_rows(raw: bool) -> None:
    asked = read_infer(request(raw=raw), max_rows=10)

    assert [{"amount": 1.5, "shop": "east"}, {"amount": None, "shop": "Hà A"}] == list(asked.rows)
    assert ("7", []) == (asked.id, list(asked.outputs))


def test_outputs_and_patience_are_read() -> None:
    message = request(raw=True)
    message.outputs.add(name="decision")
    message.parameters["timeout"].int64_param = 250_000

    asked = read_infer(message, max_rows=10)

    assert (["decision"], 250_000) == ([output.name for output in asked.outputs], asked.timeout_us)


def test_every_faulty_tensor_is_named_at_once() -> None:
    message = request(raw=True)
    message.inputs[0].datatype = "FP65"
    message.raw_input_contents[1] = b"\x09\x00\x00\x00east"

    with pytest.raises(ParameterError, match=r"(?s)input 'amount' has datatype 'FP65'.*; input 'shop' ends within its value 0"):
        read_infer(message, max_rows=10)


def test_raw_contents_are_given_for_all_inputs_or_none() -> None:
    message = request(raw=True)
    del message.raw_input_contents[1]

    with pytest.raises(ParameterError, match="1 raw_input_contents for 2 inputs"):
        read_infer(message, max_rows=10)


def test_an_answer_holds_the_outputs_that_are_wanted() -> None:
    message = request(raw=True)
    message.outputs.add(name="decision")
    answers = {"score": np.array([0.25, 0.75]), "decision": np.array([False, True]), "flags": ["", "amount: missing"]}
    asked = read_infer(message, max_rows=10)

    told = write_infer(TYPES["ModelInferResponse"](), "orders@v3", answers, model="orders", request=asked)

    (output,) = told.outputs
    assert ("orders", "orders@v3", "7") == (told.model_name, told.model_version, told.id)
    assert ("decision", "BOOL", [2], [b"\x00\x01"]) == (output.name, output.datatype, output.shape, list(told.raw_output_contents))
    assert "row 1: amount: missing" == told.parameters["flags"].string_param


def test_an_output_the_model_does_not_have_is_refused() -> None:
    message = request(raw=True)
    message.outputs.add(name="margin")
    asked = read_infer(message, max_rows=10)

    with pytest.raises(ParameterError, match="no output called 'margin'"):
        write_infer(TYPES["ModelInferResponse"](), "orders@v3", {"score": np.zeros(2)}, model="orders", request=asked)
