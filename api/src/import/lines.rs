//! Bounds the file and gives all its line ends one form, below the CSV reader ([`super::rows`]).
//!
//! The csv crate ends a record at `\r` and counts the line at `\n`, so that a file written on Windows would have
//! every row reported one line too early. Here `\r\n` and `\r` become `\n` before it sees them.

use std::io::{self, BufRead, BufReader, Read};

/// The largest file that is read. Rows of one product may be anywhere in it, so what is needed of the file is kept
/// in memory until its end; this bounds that memory. Larger exports are split by product.
pub(super) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A reader that ends every line with `\n`, the last one too, and fails beyond its bound.
pub(super) struct Lines<R> {
    source: BufReader<R>,
    bytes_left: u64,
    after_carriage_return: bool,
    last_byte: u8,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R, bytes_max: u64) -> Self {
        let source = BufReader::with_capacity(64 * 1024, source);
        Self {
            source,
            bytes_left: bytes_max,
            after_carriage_return: false,
            last_byte: b'\n',
        }
    }

    /// Copies what is buffered into `out`, until either is used up. Returns (bytes taken, bytes given).
    fn copy(&mut self, out: &mut [u8]) -> io::Result<(usize, usize)> {
        let input = self.source.fill_buf()?;
        let mut given = 0;
        let mut taken = 0;
        while taken < input.len() && given < out.len() {
            let byte = input[taken];
            taken += 1;
            let second_half = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            if !second_half {
                out[given] = if byte == b'\r' { b'\n' } else { byte };
                given += 1;
            }
        }
        Ok((taken, given))
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let (taken, given) = self.copy(out)?;
            if taken == 0 {
                // The end. A last line without its end gets one.
                if self.last_byte == b'\n' {
                    return Ok(0);
                }
                self.last_byte = b'\n';
                out[0] = b'\n';
                return Ok(1);
            }
            self.source.consume(taken);
            let Some(bytes_left) = self.bytes_left.checked_sub(taken as u64) else {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the file is too large",
                ));
            };
            self.bytes_left = bytes_left;
            if given > 0 {
                self.last_byte = out[given - 1];
                return Ok(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, bytes_max: u64) -> io::Result<String> {
        // One byte at a time, so that each pair of line-end bytes is split over two reads.
        struct OneByteAtATime<'a>(&'a [u8]);
        impl Read for OneByteAtATime<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let count = out.len().min(1);
                self.0.read(&mut out[..count])
            }
        }
        let mut all = String::new();
        Lines::new(OneByteAtATime(text.as_bytes()), bytes_max).read_to_string(&mut all)?;
        Ok(all)
    }

    #[test]
    fn all_line_ends_become_one() {
        assert_eq!(read("a\r\nb\rc\nd\r\n\r\n", 99).unwrap(), "a\nb\nc\nd\n\n");
    }

    #[test]
    fn a_last_line_without_end_gets_one_and_an_empty_file_stays_empty() {
        assert_eq!(read("a\nb", 99).unwrap(), "a\nb\n");
        assert_eq!(read("", 99).unwrap(), "");
    }

    #[test]
    fn a_file_beyond_the_bound_fails() {
        assert_eq!(read("abcd", 4).unwrap(), "abcd\n");
        assert_eq!(read("abcde", 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
