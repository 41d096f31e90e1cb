//! Any bytes: `split_frame` cuts exactly the frame that the header says, or refuses for good, or waits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{HEADER_BYTES, limits, split_frame};

fuzz_target!(|bytes: &[u8]| {
    match split_frame(bytes) {
        Ok(Some((frame, rest))) => {
            assert!((HEADER_BYTES..=limits::FRAME_BYTES_MAX).contains(&frame.len()));
            assert_eq!([frame, rest].concat(), bytes);
            // Whatever follows, the frame is the same; and one byte less is not a frame yet.
            assert_eq!(split_frame(frame), Ok(Some((frame, &[][..]))));
            assert_eq!(split_frame(&frame[..frame.len() - 1]), Ok(None));
        }
        Ok(None) => assert!(bytes.len() < limits::FRAME_BYTES_MAX),
        Err(error) => {
            let longer = [bytes, &[0; 64]].concat();
            assert_eq!(split_frame(&longer), Err(error));
        }
    }
});
