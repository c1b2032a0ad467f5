#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fresnel_fuzz::admission::admission(bytes));
