"""The operations of the API, one module a noun: thin, because reads are the store's and changes the broker's."""
