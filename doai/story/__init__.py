"""Events and states as sentences that people read, in Korean and English (step 14). Pure."""
