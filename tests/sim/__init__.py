"""The simulator: production cores and pipelines, whole fleets, from one seed (steps 2-13).

Read in this order: `world` (time), `network`, `disks`, `phones` (what may go wrong), `broker`, `node`, `admin` (the
production cores, driven as their shells drive them), `scenario` and `faults` (what a seed draws), `ledger` and
`checks` (what must hold), `simulation` (one seed), `campaign` (many). Nothing here decides for the product.
"""
