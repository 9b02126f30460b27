"""What came of a run, for other programs and for people: JUnit XML, CSV, one HTML page (step 14). Pure."""
