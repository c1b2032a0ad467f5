//! Receipts between shards: outboxes, delivery, what is held.
