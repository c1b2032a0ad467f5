//! Fuzz targets as plain functions of bytes, so that libFuzzer and the tests of the workspace run the same.

pub mod admission;
pub mod decoders;
