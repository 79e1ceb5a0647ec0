"""The oracle's own arithmetic, by hand: one price of 2 dollars a token, so that every figure can be followed."""

from attribution.simulator.books import Books, Cell, Key, Pool, settle_capacity, settle_cell, split
from attribution.simulator.company import ATTO, Band

PRICE = 2 * ATTO
BAND = Band("base", (PRICE, None, None, None, PRICE), (PRICE, None, None, None, PRICE), ("", "", "", "", ""), "")
CLAIMS, FRAUD = ("claims", "triage"), ("fraud", "graph")


def cell() -> Cell:
    return Cell("aws", "m", BAND)


def dollars(books: Books) -> dict[tuple[str, str], tuple[float, float]]:
    """(team or reason, token type) -> billed and effective dollars."""
    return {
        (key.team or key.reason, key.token_type): (entry.billed / ATTO, entry.effective / ATTO)
        for key, entry in books.entries.items()
    }


def test_each_owner_carries_what_its_requests_used() -> None:
    books, used = Books(), cell()
    used.use("2026-08", CLAIMS, (3, 0, 0, 0, 0), proven=False, metered=True)
    used.use("2026-08", FRAUD, (1, 0, 0, 0, 4), proven=False, metered=True)
    used.use("2026-08", None, (0, 0, 0, 0, 1), proven=False, metered=True)
    settle_cell(books, used)
    assert dollars(books) == {
        ("claims", "input_uncached"): (6, 6),
        ("fraud", "input_uncached"): (2, 2),
        ("fraud", "output"): (8, 8),
        ("unowned", "output"): (2, 2),
    }


def test_lost_telemetry_is_unmetered_when_it_is_more_than_a_hundredth() -> None:
    books, used = Books(), cell()
    used.use("2026-08", CLAIMS, (98, 0, 0, 0, 0), proven=False, metered=True)
    used.use("2026-08", FRAUD, (2, 0, 0, 0, 0), proven=False, metered=False)
    settle_cell(books, used)
    assert dollars(books) == {("claims", "input_uncached"): (196, 196), ("unmetered", "input_uncached"): (4, 4)}


def test_a_gap_of_a_hundredth_is_shared() -> None:
    books, used = Books(), cell()
    used.use("2026-08", CLAIMS, (99, 0, 0, 0, 0), proven=False, metered=True)
    used.use("2026-08", FRAUD, (1, 0, 0, 0, 0), proven=False, metered=False)
    settle_cell(books, used)
    assert dollars(books) == {("claims", "input_uncached"): (200, 200)}


def test_use_without_any_telemetry_is_a_bypass() -> None:
    books, used = Books(), cell()
    used.use("2026-08", CLAIMS, (5, 0, 0, 0, 0), proven=False, metered=False)
    settle_cell(books, used)
    assert dollars(books) == {("bypass", "input_uncached"): (10, 10)}


def test_what_the_bill_proves_goes_to_its_owner_and_leaves_the_pool() -> None:
    # 10 tokens of claims on a tagged line; in the pool claims used 2 more and fraud 6; a refund of 8 dollars on the
    # pool comes back 2/8 to claims and 6/8 to fraud.
    books, used = Books(), cell()
    used.use("2026-08", CLAIMS, (10, 0, 0, 0, 0), proven=True, metered=True)
    used.use("2026-08", CLAIMS, (2, 0, 0, 0, 0), proven=False, metered=True)
    used.use("2026-08", FRAUD, (6, 0, 0, 0, 0), proven=False, metered=True)
    used.adjustments.append((0, "2026-09", -8 * ATTO, -8 * ATTO))
    settle_cell(books, used)
    assert {(key.team, key.period): entry.billed / ATTO for key, entry in books.entries.items()} == {
        ("claims", "2026-08"): 24,
        ("fraud", "2026-08"): 12,
        ("claims", "2026-09"): -2,
        ("fraud", "2026-09"): -6,
    }


def test_capacity_goes_by_weighted_tokens() -> None:
    # claims: 100 input = 1000 tenths; fraud: 100 from cache = 100 and 10 generated = 400: 2/3 and 1/3 of 3 dollars.
    books, pool = Books(), Pool("aws")
    pool.use(CLAIMS, "large", (100, 0, 0, 0, 0))
    pool.use(FRAUD, "small", (0, 100, 0, 0, 10))
    settle_capacity(books, pool, "2026-08", (0, 3 * ATTO))
    assert dollars(books) == {("claims", "capacity"): (0, 2), ("fraud", "capacity"): (0, 1)}
    assert {key.team: key.model for key in books.entries} == {"claims": "large", "fraud": "small"}


def test_capacity_that_nobody_used_is_idle() -> None:
    books = Books()
    settle_capacity(books, Pool("azure"), "2026-08", (7, 7))
    assert books.entries[Key("azure", "2026-08", "", "", "", "capacity", "idle")].billed == 7


def test_parts_sum_to_the_whole() -> None:
    assert split(10, [1, 1, 1]) == [3, 3, 4]
    assert sum(split(-10, [1, 1, 1])) == -10
