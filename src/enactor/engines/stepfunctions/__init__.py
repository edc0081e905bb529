"""The Step Functions engine. Only what a function needs is imported by it: import from the modules."""
