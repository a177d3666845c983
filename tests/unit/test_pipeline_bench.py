"""The runner of benchmarks: one that fails, hangs or lacks its data costs the others nothing."""

from __future__ import annotations

import json
import time

import pytest

from workbench.contracts import ParameterError
from workbench.pipeline.bench import run_benchmarks
from workbench.pipeline.bench_results import read, without_paths

GOOD = """
import json
print("a line on the way")
print(json.dumps({"name": "speed", "value": 12345.678, "unit": "records/s", "low": 1, "high": 2, "n": 3,
                  "peers": {"slow": 10}, "ratios": {"slow": 1234.5}, "ns_per_record": [1.5, 2.25]}))
"""
BROKEN = "raise SystemExit('no luck with /home/somebody/secret/data.csv')"
CRASHED = "raise ValueError('five is not six')"
WITHOUT = 'print(\'{"name": "real", "value": null, "skipped": "the real series are not here"}\')'
WORDLESS = 'print("not measured: no folder of real series")\nprint(\'{"name": "real", "value": null}\')'
UNTOLD = "print('done')"
HANGS = "import pathlib, sys, time\nprint('still here')\ntry:\n    time.sleep(60)\nfinally:\n    pathlib.Path('tidied').touch()"


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "benchmarks").mkdir()

    def add(**scripts):
        for name, text in scripts.items():
            (tmp_path / "benchmarks" / f"{name}.py").write_text(text, encoding="utf-8")
        return tmp_path

    return add


def page_of(root):
    return (root / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")


def test_a_failure_costs_the_others_nothing_and_is_named_with_its_reason(checkout):
    root, said = checkout(a_crashed=CRASHED, b_good=GOOD, c_untold=UNTOLD, d_without=WITHOUT, e_wordless=WORDLESS, _part="1/0"), []
    failed = run_benchmarks([], quick=False, say=said.append, root=root)
    assert failed == ["a_crashed", "c_untold"], "missing data is no failure"
    page = page_of(root)
    assert "| b_good | speed | 12,346 | records/s | 1 – 2 | 3 | slow 10 | slow 1234× |" in page
    assert "| a_crashed | failed | exit 1: ValueError: five is not six |" in page
    assert "| c_untold | failed | its last line is not the JSON of a result |" in page
    assert "| d_without | not measured | the real series are not here |" in page
    assert "| e_wordless | not measured | not measured: no folder of real series |" in page
    assert "- **b_good**: ns per record 1.5, 2.25" in page
    assert "_part" not in page
    assert "    a line on the way" in said, "what a script prints is shown"
    assert not any(line.lstrip().startswith("{") for line in said)
    assert any(line.startswith("[2/5] speed: 12,346 records/s [1, 2] n=3 (") for line in said)


def test_a_share_shows_no_unit(checkout):
    root, said = checkout(share=GOOD.replace("records/s", "1").replace("12345.678", "0.5")), []
    run_benchmarks([], quick=False, say=said.append, root=root)
    assert "| share | speed | 0.5 |  | 1 – 2 |" in page_of(root)
    assert any("speed: 0.5 [1, 2] n=3 (" in line for line in said)


def test_the_page_is_there_after_the_first_script_not_only_at_the_end(checkout):
    root, seen = checkout(a=GOOD, b=GOOD), []
    run_benchmarks([], quick=False, root=root, say=lambda line: seen.append((line, (root / "benchmarks" / "RESULTS.md").is_file())))
    assert (("[2/2] b …", True)) in seen


def test_some_by_name_keep_what_was_measured_of_the_others(checkout):
    root = checkout(a=GOOD, b=GOOD, gone=GOOD)
    run_benchmarks([], quick=False, say=lambda _: None, root=root)
    (root / "benchmarks" / "gone.py").unlink()
    checkout(a=BROKEN, new=GOOD)
    assert run_benchmarks(["a"], quick=False, say=lambda _: None, root=root) == ["a"]
    kept = {e.benchmark: e for e in read(root / "benchmarks")}
    assert set(kept) == {"a", "b"}
    assert kept["b"].result["value"] == 12345.678
    assert kept["a"].result is None
    assert "Never run here: new." in page_of(root)


def test_quick_sizes_are_not_kept(checkout):
    root = checkout(a="import sys\nassert sys.argv[1:] == ['--quick']\n" + GOOD)
    assert run_benchmarks([], quick=True, say=lambda _: None, root=root) == []
    assert not (root / "benchmarks" / "RESULTS.md").exists()
    assert not (root / "benchmarks" / "results.json").exists()


def test_a_script_that_hangs_is_ended_tidied_and_named(checkout):
    root, began = checkout(a_hangs=HANGS, b_good=GOOD), time.monotonic()
    assert run_benchmarks([], quick=False, say=lambda _: None, root=root, limit_minutes=1 / 60) == ["a_hangs"]
    assert time.monotonic() - began < 30
    assert "| a_hangs | took too long | ended after 0.0166667 min; last words: still here |" in page_of(root)
    assert (root / "tidied").exists(), "it is interrupted, not killed, so that it removes its scratch"
    assert {e.benchmark: e.failed for e in read(root / "benchmarks")} == {"a_hangs": True, "b_good": False}


def test_a_broken_file_of_results_is_made_anew(checkout):
    root = checkout(a=GOOD)
    (root / "benchmarks" / "results.json").write_text("[{", encoding="utf-8")
    run_benchmarks([], quick=False, say=lambda _: None, root=root)
    assert len(json.loads((root / "benchmarks" / "results.json").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file /home/me/data/x.csv here", "no file …/x.csv here"),
        ("at ~/a/b/c.parquet", "at …/c.parquet"),
        (r"at C:\data\b\c.parquet", "at …/c.parquet"),
        ("12 M records/s, 3 mg/m³ and/or 1/2", "12 M records/s, 3 mg/m³ and/or 1/2"),
        ("../shared/data", "../shared/data"),
        ("tcp://127.0.0.1:80/x/y", "tcp://127.0.0.1:80/x/y"),
    ],
)
def test_a_shared_page_names_no_folder_of_a_machine(text, shown):
    assert without_paths(text) == shown


def test_an_unknown_name_is_refused_before_anything_runs(checkout):
    root = checkout(monitoring="open('ran', 'w')")
    with pytest.raises(ParameterError, match="monitoring"):
        run_benchmarks(["monitorin"], quick=True, say=lambda _: None, root=root)
    assert not (root / "ran").exists()


def test_a_folder_without_benchmarks_is_no_checkout(tmp_path):
    with pytest.raises(ParameterError, match="no benchmarks here"):
        run_benchmarks([], quick=True, say=lambda _: None, root=tmp_path)
