//! What the fuzz targets share: the laws of the readers, and a bound on memory.

#[path = "../tests/torch_file/mod.rs"]
#[allow(dead_code)]
mod torch_file;

pub mod laws;

use std::alloc::System;

use cap::Cap;

/// Most memory a reader may take. An allocation beyond it fails, which ends the process, which is
/// what the fuzzer calls a crash.
pub const MEMORY_LIMIT: usize = 1 << 30;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MEMORY_LIMIT);
