//! Bounds the file's size and normalizes its line ends, below the CSV reader ([`super::rows`]).
//!
//! The csv crate ends a record at `\r` but counts lines at `\n`, so rows of a file with Windows line ends would be
//! reported one line too early. Here `\r\n` and `\r` become `\n`.

use std::io::{self, BufRead, BufReader, Read};

/// The largest file that is accepted. Rows of one product may be anywhere in the file, so the relevant cells stay in
/// memory until its end; this bounds that memory. Larger exports can be split by product.
pub(super) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A reader that ends every line with `\n`, including the last, and fails beyond its bound.
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

    /// Copies buffered bytes to `out` until either is exhausted. Returns (bytes read, bytes written).
    fn copy(&mut self, out: &mut [u8]) -> io::Result<(usize, usize)> {
        let input = self.source.fill_buf()?;
        let mut written = 0;
        let mut read = 0;
        while read < input.len() && written < out.len() {
            let byte = input[read];
            read += 1;
            let second_half = byte == b'\n' && self.after_carriage_return;
            self.after_carriage_return = byte == b'\r';
            if !second_half {
                out[written] = if byte == b'\r' { b'\n' } else { byte };
                written += 1;
            }
        }
        Ok((read, written))
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let (read, written) = self.copy(out)?;
            if read == 0 {
                // The end of the file. Terminates a last line without a line end.
                if self.last_byte == b'\n' {
                    return Ok(0);
                }
                self.last_byte = b'\n';
                out[0] = b'\n';
                return Ok(1);
            }
            self.source.consume(read);
            let Some(bytes_left) = self.bytes_left.checked_sub(read as u64) else {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the file is too large",
                ));
            };
            self.bytes_left = bytes_left;
            if written > 0 {
                self.last_byte = out[written - 1];
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, bytes_max: u64) -> io::Result<String> {
        // One byte per read, so that each `\r\n` is split over two reads.
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
