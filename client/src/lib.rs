//! The client: ingest stream, questions, offline checks.
