"""Tables of a comparison, whatever classes are called."""

from stages.reporting import comparison_page
from tsn.recogniser.comparison import ClassChange


def test_a_class_with_a_bar_in_its_name_is_one_cell() -> None:
    row = ClassChange(name="a|b", videos=2, champion=0.5, challenger=1.0)
    *_, last = comparison_page._class_table([row], "champion")
    assert last == r"| a\|b | 2 | 50.0% | 100.0% | +50.0 |"
