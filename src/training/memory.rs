//! What the system's allocator does with the memory of each step.

/// Has freed memory kept for the next step, for the whole process. A step frees as much as it takes, and
/// glibc would give all of it back and have it cleared anew, while the other threads forget its addresses:
/// a fifth of the time of a step. Elsewhere than on Linux with glibc nothing changes.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The most that glibc takes, and more than any tensor has.
        const LARGEST: libc::c_int = 32 << 20;
        // SAFETY: numbers are set under the allocator's own lock; no memory is touched.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
