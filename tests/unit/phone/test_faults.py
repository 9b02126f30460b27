"""The book of ordered faults."""

from doai.phone.faults import LASTING, Fault, FaultBook, FaultOrder


def test_count_and_match() -> None:
    book = FaultBook()
    book.order(FaultOrder(Fault.DRIBBLE, count=2, match="screencap"))
    assert book.take(Fault.DRIBBLE, "shell:ls") is None
    assert book.take(Fault.DRIBBLE, "exec:screencap -p") is not None
    assert book.active(Fault.DRIBBLE)
    assert book.take(Fault.DRIBBLE, "exec:screencap -p") is not None
    assert not book.active(Fault.DRIBBLE)
    assert book.struck == {Fault.DRIBBLE: 2}


def test_lasting_faults_stay_until_cleared() -> None:
    book = FaultBook()
    for fault in LASTING:
        book.order(FaultOrder(fault, count=1))
        assert book.take(fault)
        assert book.take(fault)
        assert book.clear(fault) == [fault]
        assert book.take(fault) is None
    book.order(FaultOrder(Fault.SILENT))
    book.order(FaultOrder(Fault.GARBAGE))
    assert set(book.clear()) == {Fault.SILENT, Fault.GARBAGE}
    assert book.waiting() == []
