//! Every bound of the core, with its reason.

/// Slices in one vectored send: 64 × 16 bytes of iovec stay in one KiB; a longer queue goes out in several sends.
pub const TRANSMIT_SLICES_MAX: usize = 64;
