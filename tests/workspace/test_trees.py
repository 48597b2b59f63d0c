from sampan.workspace.training.trees import Branch, draw


def test_a_tree_is_drawn_with_its_labels() -> None:
    branches = {"a": [Branch("b", "uses"), Branch("c", "uses")], "b": [Branch("d", "from")]}

    assert draw("a", branches, {name: name.upper() for name in "abcd"}).splitlines() == ["A", "├─ uses B", "│  └─ from D", "└─ uses C"]


def test_a_diamond_is_drawn_once() -> None:
    branches = {"a": [Branch("b", "1"), Branch("c", "2")], "b": [Branch("d", "3")], "c": [Branch("d", "4")], "d": [Branch("e", "5")]}

    drawn = draw("a", branches, {name: name for name in "abcde"})

    assert drawn.count("5 e") == 1
    assert "4 d (see above)" in drawn


def test_a_circle_ends() -> None:
    drawn = draw("a", {"a": [Branch("b", "x")], "b": [Branch("a", "y")]}, {"a": "a", "b": "b"})

    assert drawn.splitlines() == ["a", "└─ x b", "   └─ y a (see above)"]
