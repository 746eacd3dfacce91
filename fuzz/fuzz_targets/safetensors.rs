#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| circuitcheck_fuzz::laws::safetensors(input));
