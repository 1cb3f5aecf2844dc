"""The pytest plugin: an inference server as a fixture, and its lines in the report of the test that failed."""
