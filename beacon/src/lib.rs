//! The beacon: certified DAG, Bullshark order, certification of records.
