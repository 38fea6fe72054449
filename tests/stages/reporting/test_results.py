import json
import re
from dataclasses import replace

import pytest
from result_rows import FOUND, SPLITS, row

from stages.reporting import results


def plain(accuracy, top5=1.0, **by_tag):
    """Return a metrics file of one row, as text."""
    values = {"mean_class_accuracy": accuracy, "top1": 0.5, "top5": top5, "by_tag": by_tag}
    return json.dumps({"rgb": values})


def test_mean_over_splits_by_hand():
    mean = results.mean_over_splits(list(SPLITS.values()))
    assert list(mean) == ["rgb", "flow", "two_stream"]
    assert mean["rgb"].mean_class_accuracy == pytest.approx(0.6)
    assert mean["rgb"].spread == pytest.approx(0.1)
    assert mean["flow"].spread == 0
    # Only the first split's test list has videos tagged motion.
    assert mean["rgb"].by_tag == pytest.approx({"pan": 0.3, "motion": 0.4})


def test_mean_of_different_rows_is_refused():
    with pytest.raises(ValueError, match=r"number 2 has \['rgb'\]"):
        results.mean_over_splits([SPLITS[1], {"rgb": row(0.5)}])
    with pytest.raises(ValueError, match="at least one split"):
        results.mean_over_splits([])


def test_rows_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "split1.json"
    for rows in (SPLITS[1], FOUND.mean):
        results.write_rows(path, rows)
        assert results.read_rows(path) == rows
        assert list(results.read_rows(path)) == list(rows)


def test_the_metrics_file_byte_by_byte(tmp_path):
    """Of one split, and of a mean: DVC and `dvc metrics diff` read it."""
    results.write_rows(tmp_path / "split1.json", {"rgb": row(0.5, pan=0.25)})
    head = '{\n  "rgb": {\n    "mean_class_accuracy": 0.5,\n    "top1": 0.5,\n    "top5": 1.0,\n'
    tags = '    "by_tag": {\n      "pan": 0.25\n    }'
    text = (tmp_path / "split1.json").read_text()
    assert text == f"{head}{tags}\n  }}\n}}\n"
    results.write_rows(tmp_path / "mean.json", {"rgb": replace(row(0.5, pan=0.25), spread=0.0)})
    text = (tmp_path / "mean.json").read_text()
    assert text == f'{head}{tags},\n    "spread": 0.0\n  }}\n}}\n'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("{}", "expected an object of modalities"),
        ('{"rgb": 3}', "rgb: expected a mapping, got 3"),
        ('{"rgb": {}}', "rgb.mean_class_accuracy: missing"),
        (plain(85.1), "rgb: mean_class_accuracy: expected a fraction in 0..1, found 85.1"),
        (plain(0.5, top5=None), "rgb.top5: expected a number, got None"),
        (plain(0.5, pan=True), "rgb.by_tag.pan: expected a number, got True"),
        (plain(0.5, pan=-0.1), "rgb: by_tag: pan: expected a fraction in 0..1, found -0.1"),
        (plain(float("nan")), "rgb.mean_class_accuracy: expected a finite number, got nan"),
    ],
)
def test_what_is_no_metrics_file_is_refused(tmp_path, content, complaint):
    path = tmp_path / "split1.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ") + ".*" + re.escape(complaint)):
        results.read_rows(path)
