"""Old and new together: peers of other wire versions, recorded frames and stores of earlier releases."""
