"""The fuzzer: it finds nothing in a short run, and would find a crash, a hang and a leak."""

import multiprocessing
from pathlib import Path

import pytest

from retrieval.errors import LookalikeError
from tests import fuzz

SEED = 20_261_124
COUNT = 25


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    return fuzz.seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("kind", list(fuzz.SUFFIX))
def test_what_is_whole_is_read(kind: str, made: dict[str, list[bytes]], tmp_path: Path) -> None:
    for number, data in enumerate(made[kind]):
        work = tmp_path / str(number)
        work.mkdir()
        fuzz.read(kind, data, number, made, work)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", list(fuzz.SUFFIX))
def test_what_is_harmed_is_read_or_refused_in_a_sentence(
    kind: str, made: dict[str, list[bytes]], tmp_path: Path
) -> None:
    changed = 0
    for number in range(COUNT):
        data = fuzz.harmed(made, kind, number, SEED)
        assert data == fuzz.harmed(made, kind, number, SEED)
        changed += data not in made[kind]
        work = tmp_path / str(number)
        work.mkdir()
        said = ""
        try:
            fuzz.read(kind, data, number, made, work)
        except LookalikeError as error:
            said = str(error)
        assert not fuzz.tells(said), f"{kind} {number}"
    assert changed > COUNT * 3 // 4


def test_what_is_harmed_is_the_same_at_any_time(
    made: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = fuzz.harmed(made, "bundle", 1, SEED)
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    assert fuzz.harmed(made, "bundle", 1, SEED) == now


def test_it_goes_through_a_running_app() -> None:
    tallies = fuzz.send_all(5, SEED, ("JPEG", "zip", "bundle"))
    assert [tally.faults for tally in tallies.values()] == [[], [], []]
    assert all(tally.accepted + tally.refused == tally.files == 5 for tally in tallies.values())


def test_a_child_reads_and_tells() -> None:
    tally = fuzz.read_all("BMP", 20, SEED)
    assert tally.files == tally.accepted + tally.refused == 20
    assert tally.faults == []
    assert 20 < tally.megabytes < fuzz.MEGABYTES


def test_a_child_that_ends_in_the_middle_of_a_file_is_a_crash() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send(("begin", 4))
    theirs.close()
    tally = fuzz.Tally()
    with ours:
        assert fuzz._follow("PNG", ours, tally, 4) == 5
    assert tally.faults == ["PNG 4: crash: "]


def test_a_file_that_takes_for_ever_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.01)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with ours, theirs:
        theirs.send(("begin", 4))
        tally = fuzz.Tally()
        assert fuzz._follow("PNG", ours, tally, 4) == 5
    assert tally.faults == ["PNG 4: hang: "]


@pytest.mark.parametrize(
    ("outcome", "seconds", "said"),
    [
        ("KeyError", 0.1, "'x'"),
        ("refused", 9.0, "It is damaged."),
        ("refused", 0.1, f"{Path.home()}/a.png is damaged."),
        ("accepted", 0.1, 'Traceback (most recent call last):\n  File "x"'),
    ],
    ids=["another exception", "slow", "path", "traceback"],
)
def test_what_is_wrong_is_counted(outcome: str, seconds: float, said: str) -> None:
    tally = fuzz.Tally()
    tally.note(outcome, seconds, said, "PNG 1")
    assert len(tally.faults) == 1
