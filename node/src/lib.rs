//! Processes: links, logs on disk, threads that drive the machines, shutdown.
