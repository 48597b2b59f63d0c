"""What real clients of other servers find on ours. Run by their own interpreters: `python real_clients.py CLIENT HTTP_PORT GRPC_PORT`.

Prints what the client answered as one line of JSON; the test compares.
"""

from __future__ import annotations

import json
import sys
from typing import Any

ROWS = {"order": [1, 2, 3], "x1": [0.5, 1.0, 0.0], "x2": [0.25, 0.25, 0.0], "shop": ["north", "south", "é"]}
KINDS = {"order": "INT64", "x1": "FP32", "x2": "FP64", "shop": "BYTES"}


def arrays() -> dict[str, Any]:
    import numpy as np

    types = {"INT64": np.int64, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_}
    return {name: np.array(values, dtype=types[KINDS[name]]) for name, values in ROWS.items()}


def triton_inputs(module: Any, **form: Any) -> list[Any]:
    inputs = []
    for name, values in arrays().items():
        tensor = module.InferInput(name, [3], KINDS[name])
        tensor.set_data_from_numpy(values, **form)
        inputs.append(tensor)
    return inputs


def triton_http(port: str, *, binary: bool) -> dict[str, Any]:
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "decision")]
    answer = client.infer("linear", triton_inputs(triton, binary_data=binary), request_id="7", outputs=wanted)
    usual = client.infer("linear", triton_inputs(triton, binary_data=binary), model_version="1")
    refused = ""
    try:
        client.infer("linear", triton_inputs(triton, binary_data=binary)[:2])
    except triton.InferenceServerException as cause:
        refused = str(cause)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("linear") and client.is_model_ready("linear", "1"),
        "extensions": client.get_server_metadata()["extensions"],
        "inputs": [(i["name"], i["datatype"], i["shape"]) for i in client.get_model_metadata("linear")["inputs"]],
        "id": answer.get_response()["id"],
        "scores": answer.as_numpy("score").tolist(),
        "decisions": answer.as_numpy("decision").tolist(),
        "usual": usual.as_numpy("score").tolist(),
        "refused": refused,
    }


def triton_grpc(port: str) -> dict[str, Any]:
    import tritonclient.grpc as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    wanted = [triton.InferRequestedOutput(name) for name in ("score", "decision")]
    answer = client.infer("linear", triton_inputs(triton), request_id="7", outputs=wanted)
    usual = client.infer("linear", triton_inputs(triton), model_version="1", client_timeout=20)
    far = triton_inputs(triton)
    far[1].set_data_from_numpy(arrays()["x1"] * 5000)
    told = client.infer("linear", far)
    refused = []
    for model, inputs in (("linear", triton_inputs(triton)[:2]), ("liner", triton_inputs(triton))):
        try:
            client.infer(model, inputs)
        except triton.InferenceServerException as cause:
            refused.append(f"{cause.status()}: {cause.message()}")
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("linear") and client.is_model_ready("linear", "1"),
        "extensions": list(client.get_server_metadata().extensions),
        "inputs": [(i.name, i.datatype, list(i.shape)) for i in client.get_model_metadata("linear").inputs],
        "id": answer.get_response().id,
        "scores": answer.as_numpy("score").tolist(),
        "decisions": answer.as_numpy("decision").tolist(),
        "usual": usual.as_numpy("score").tolist(),
        "refused": refused,
        "flags": told.get_response().parameters["flags"].string_param,
    }


def kserve_inputs() -> list[Any]:
    import kserve

    inputs = []
    for name, values in arrays().items():
        tensor = kserve.InferInput(name, [3], KINDS[name])
        tensor.set_data_from_numpy(values, binary_data=False)
        inputs.append(tensor)
    return inputs


def kserve_rest(port: str) -> dict[str, Any]:
    import asyncio

    import kserve

    async def ask() -> dict[str, Any]:
        client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=1))
        base = f"http://127.0.0.1:{port}"
        request = kserve.InferRequest(model_name="linear", infer_inputs=kserve_inputs(), request_id="7")
        answer = await client.infer(base, request, model_name="linear")
        return {
            "live": await client.is_server_live(base),
            "ready": await client.is_server_ready(base) and await client.is_model_ready(base, "linear"),
            "id": answer.id,
            "scores": answer.outputs[0].as_numpy().tolist(),
        }

    return asyncio.run(ask())


def kserve_grpc(port: str) -> dict[str, Any]:
    import asyncio

    import kserve

    async def ask() -> dict[str, Any]:
        client = kserve.InferenceGRPCClient(url=f"127.0.0.1:{port}")
        request = kserve.InferRequest(model_name="linear", infer_inputs=kserve_inputs(), request_id="7")
        answer = await client.infer(request)
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready() and await client.is_model_ready("linear"),
            "id": answer.id,
            "scores": answer.outputs[0].as_numpy().tolist(),
        }

    return asyncio.run(ask())


def mlflow_client(port: str) -> dict[str, Any]:
    import pandas as pd
    from mlflow.deployments import get_deploy_client
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    frame = pd.DataFrame({**ROWS, "unheard_of": [1, 2, 3]})
    scoring = ScoringServerClient("127.0.0.1", port)
    scoring.wait_server_ready(timeout=10)
    deployments = get_deploy_client(f"http://127.0.0.1:{port}")
    records = {"dataframe_records": frame.to_dict(orient="records")}
    return {
        "version": scoring.get_version(),
        "frame": scoring.invoke(frame).get_predictions()[0].tolist(),
        "lists": scoring.invoke(frame[list(ROWS)].values).get_predictions()[0].tolist(),
        "endpoints": [e.name for e in deployments.list_endpoints()],
        "model": deployments.get_endpoint("linear").model.name,
        "predicted": deployments.predict(endpoint="linear", inputs=records)["predictions"],
    }


CLIENTS = {
    "triton_json": lambda http, _: triton_http(http, binary=False),
    "triton_binary": lambda http, _: triton_http(http, binary=True),
    "triton_grpc": lambda _, grpc: triton_grpc(grpc),
    "kserve_rest": lambda http, _: kserve_rest(http),
    "kserve_grpc": lambda _, grpc: kserve_grpc(grpc),
    "mlflow": lambda http, _: mlflow_client(http),
}

if __name__ == "__main__":
    sys.stdout.write("FOUND " + json.dumps(CLIENTS[sys.argv[1]](sys.argv[2], sys.argv[3])))
