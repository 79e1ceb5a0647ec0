"""The lake: facts in immutable Parquet files, and the only importer of DuckDB.

    schemas      the columns of every dataset, with their units
    partitions   the key of a partition, its canonical text and its path
    content      the canonical form of a partition's rows, and their hash as a multiset
    catalogue    which file is current: stage, publish, current, files; one transaction, no folder is ever listed
    sweeper      removes what nobody can read any more; pins
    engine       runs the SQL models of attribution/sql on DuckDB
    serving      the read-only file that pages are answered from

How a dataset is replaced, here with one day of charges:

    key = PartitionKey(Dataset.CHARGES, scope="aws/cur", billing_account_id="123456789012", billing_period="2026-05",
                       day=date(2026, 5, 1), provider="aws")
    publish([stage(key, table)], also=record_import)

and how new content is made from old content, with other writers about:

    while True:
        expected = seen(keys)
        with open_engine() as engine:
            table = engine.run("marts/...", inputs={"requests": files(Dataset.REQUESTS, scope=source, days=days)})
        try:
            publish(stage_many(...), expected=expected, also=record_import)
        except Stale:
            continue
        break

Traps, all measured: Parquet holds a HUGEINT as a double, and the sum of a BIGINT is one (the engine refuses it); DuckDB
calls the zone Etc/UTC (the engine renames it); a view over a folder named `day=...` grows a column `day` (the engine
forbids it); a spill folder is for one engine only; decimal `//` gives a double (use exact_div and exact_mod).
"""
