//! Admission, batching, dissemination and availability of batches.
