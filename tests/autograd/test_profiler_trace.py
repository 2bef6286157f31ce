"""Trace files: what the trace event format asks for, and what a viewer makes of them."""

import gzip
import json
import threading

import pytest

import tensorgrad
from tensorgrad.autograd.profiler import profile, record_function

AWKWARD = 'a "label"\\ with\n\ttabs, \x01 and <ünïcödé>'


@pytest.fixture(scope="module")
def prf():
    x = tensorgrad.ones(20, 3, requires_grad=True)

    def elsewhere():
        with record_function("elsewhere"):
            (x * x).sum().backward()

    with profile(profile_memory=True, record_shapes=True, with_stack=True) as prf:
        thread = threading.Thread(target=elsewhere, name='worker "one"')
        thread.start()
        with record_function(AWKWARD, "epoch=1"):
            for _ in range(3):
                y = (x.sin() * x + 1).sum()
                y.backward()
                with pytest.raises(RuntimeError):
                    x + tensorgrad.ones(7)
        thread.join()
    return prf


@pytest.fixture(scope="module")
def trace(prf, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "trace.json"
    prf.export_chrome_trace(path)
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def spans(trace, **wanted):
    return [e for e in trace["traceEvents"] if e["ph"] == "X" and all(e[k] == v for k, v in wanted.items())]


def test_every_entry_has_what_its_phase_asks_for(trace):
    needed = {
        "X": {"name", "cat", "ts", "dur", "pid", "tid", "args"},
        "M": {"name", "pid", "tid", "args"},
        "C": {"name", "ts", "pid", "args"},
        "s": {"name", "cat", "id", "ts", "pid", "tid"},
        "f": {"name", "cat", "id", "ts", "pid", "tid", "bp"},
    }
    assert trace["displayTimeUnit"] == "ms"
    for entry in trace["traceEvents"]:
        assert needed[entry["ph"]] <= set(entry), entry
        assert isinstance(entry["name"], str)
        assert isinstance(entry["tid"], int)
        for key in {"ts", "dur"} & set(entry):
            assert isinstance(entry[key], (int, float)) and entry[key] >= 0
    assert {entry["ph"] for entry in trace["traceEvents"]} == set(needed)


def test_spans_of_a_thread_are_strictly_nested(trace):
    threads = {}
    for span in spans(trace):
        start = round(span["ts"] * 1000)
        threads.setdefault((span["pid"], span["tid"]), []).append((start, start + round(span["dur"] * 1000)))
    assert len(threads) == 2
    for found in threads.values():
        open_spans = []
        for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
            assert end > start
            while open_spans and open_spans[-1] <= start:
                open_spans.pop()
            assert not open_spans or end <= open_spans[-1]
            open_spans.append(end)


def test_every_event_is_there(trace, prf):
    assert len(spans(trace)) == len([event for event in prf.function_events if event.kind != "memory"])


def test_names_are_escaped(trace):
    (label,) = spans(trace, name=AWKWARD)
    assert label["cat"] == "user_annotation"
    assert label["args"]["Args"] == "epoch=1"


def test_threads_have_names(trace):
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert len(names) == 2
    assert any(name.endswith('(worker "one")') for name in names)
    assert any(name.endswith("(MainThread)") for name in names)
    tids = {e["tid"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert tids == {span["tid"] for span in spans(trace)}


def test_an_arrow_leads_from_each_forward_operator_to_its_node(trace):
    starts = {e["id"]: e for e in trace["traceEvents"] if e["ph"] == "s"}
    ends = {e["id"]: e for e in trace["traceEvents"] if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    at = {}
    for span in spans(trace):
        at[span["tid"], span["ts"]] = span
    connected = []
    for number, start in starts.items():
        source, target = at[start["tid"], start["ts"]], at[ends[number]["tid"], ends[number]["ts"]]
        assert start["cat"] == "fwdbwd"
        assert source["ts"] + source["dur"] <= target["ts"]
        assert source["args"]["Sequence number"] == target["args"]["Sequence number"]
        connected.append((source["name"], target["name"]))
    nodes = [span["name"] for span in spans(trace) if span["name"].endswith("Backward0") and ":" not in span["name"]]
    assert sorted(target for _, target in connected) == sorted(nodes)
    assert set(connected) == {
        ("tensorgrad::sin", "SinBackward0"),
        ("tensorgrad::mul", "MulBackward0"),
        ("tensorgrad::add", "AddBackward0"),
        ("tensorgrad::sum", "SumBackward0"),
    }
    assert len(connected) == 3 * 4 + 2


def test_memory_is_a_counter(trace):
    counters = [e for e in trace["traceEvents"] if e["ph"] == "C"]
    assert {e["name"] for e in counters} == {"[memory] cpu"}
    assert len(counters) > 10
    values = [e["args"]["Total Allocated"] for e in counters]
    assert all(value >= 0 for value in values)
    times = [e["ts"] for e in counters]
    assert times == sorted(times)
    assert max(values) - min(values) >= 20 * 3 * 4


def test_shapes_and_stacks_are_shown(trace):
    sin = spans(trace, name="tensorgrad::sin")[0]
    assert sin["args"]["Input Dims"] == [[20, 3]]
    assert "test_profiler_trace.py" in sin["args"]["Call stack"]


def test_compressed_when_the_name_says_so(prf, trace, tmp_path):
    prf.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz", "rt", encoding="utf-8") as file:
        assert json.load(file) == trace


def test_an_empty_profile_makes_a_valid_file(tmp_path):
    with profile() as prf:
        pass
    prf.export_chrome_trace(tmp_path / "trace.json")
    assert spans(json.loads((tmp_path / "trace.json").read_text())) == []


def test_metadata_of_a_scheduled_profile(tmp_path):
    from tensorgrad.profiler import profile

    with profile() as prof:
        tensorgrad.ones(2)
    prof.add_metadata("run", "seven")
    prof.add_metadata_json("settings", '{"lr": 0.1}')
    prof.export_chrome_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert (trace["run"], trace["settings"]) == ("seven", {"lr": 0.1})
