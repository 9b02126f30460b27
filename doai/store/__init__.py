"""The durable memory: what is written (rows, ops), how (pipeline, writer), and how it is read (reader).

The only place that imports a database. Cores make `ops` as data; the pipeline gathers them into batches and
holds back every effect until the batch that justifies it is on disk; a writer commits; nothing SQLite-ish
(rowids, its clock, its types) leaves this package, so that a second engine can follow.
"""
