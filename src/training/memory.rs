//! A setting of the system's allocator for the memory that every step takes and frees.

/// Has the allocator keep freed memory for the next step, in the whole process. By default glibc returns
/// large blocks to the system, which clears them again at every step: up to a fifth of a step's processor
/// time (docs/PERFORMANCE.md). And it gives each thread an arena of pieces of 64 MiB, which are returned to
/// the system, all threads waiting, whenever one of them becomes empty; those started after this call share
/// one arena. Without glibc, nothing changes.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// In bytes: the most that glibc accepts, and more than a tensor of the published width has.
        const LARGEST: libc::c_int = 32 << 20;
        // SAFETY: numbers are set under the allocator's own lock; no memory is touched.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}
