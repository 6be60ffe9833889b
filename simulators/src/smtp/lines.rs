//! Reads lines of SMTP without trusting their length, and a mail's lines up to the lone dot.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest command. RFC 5321 asks for 512 bytes (4.5.3.1.4), more where extensions add parameters.
const LONGEST_COMMAND_BYTES: usize = 2_048;

/// A mail's line is read in pieces of at most this.
const PIECE_BYTES: usize = 8_192;

/// A command, or what came instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Command(Vec<u8>),
    /// It was read to its end and thrown away.
    TooLong,
    /// The client hung up.
    End,
}

/// The next command, without its end of line.
pub(super) async fn read_command(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    if !read_piece(reader, &mut line, LONGEST_COMMAND_BYTES).await? {
        return Ok(Line::End);
    }
    if !line.ends_with(b"\n") {
        let mut rest = Vec::new();
        while !rest.ends_with(b"\n") {
            rest.clear();
            if !read_piece(reader, &mut rest, PIECE_BYTES).await? {
                return Ok(Line::End);
            }
        }
        return Ok(Line::TooLong);
    }
    line.pop();
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(Line::Command(line))
}

/// A mail up to `CRLF . CRLF`, with the dots taken off that the client put before lines that begin with one (RFC 5321,
/// 4.5.2). `None` when it is larger than allowed; it is read to its end all the same, for the client only listens then.
///
/// Only CRLF ends a line here. A server that lets a bare LF do so can be made to see two mails where others see one.
pub(super) async fn read_mail(
    reader: &mut (impl AsyncBufRead + Unpin),
    largest_bytes: usize,
) -> io::Result<Option<Vec<u8>>> {
    let (mut mail, mut is_too_large) = (Vec::new(), false);
    let (mut is_at_line_start, mut ended_with_cr) = (true, false);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if !read_piece(reader, &mut piece, PIECE_BYTES).await? {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the client hung up within a mail",
            ));
        }
        if is_at_line_start && piece == b".\r\n" {
            return Ok((!is_too_large).then_some(mail));
        }
        let unstuffed = if is_at_line_start && piece.starts_with(b".") {
            &piece[1..]
        } else {
            &piece[..]
        };
        if mail.len() + unstuffed.len() > largest_bytes {
            is_too_large = true;
            mail = Vec::new();
        }
        if !is_too_large {
            mail.extend_from_slice(unstuffed);
        }
        is_at_line_start = piece.ends_with(b"\r\n") || (ended_with_cr && piece == b"\n");
        ended_with_cr = piece.ends_with(b"\r");
    }
}

/// Appends up to and with the next LF, at most `most` bytes. `false` when there is nothing more to come.
async fn read_piece(
    reader: &mut (impl AsyncBufRead + Unpin),
    piece: &mut Vec<u8>,
    most: usize,
) -> io::Result<bool> {
    let mut left = most;
    while left > 0 {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            // A line without its end is no line.
            return Ok(false);
        }
        let available = &available[..available.len().min(left)];
        let line_end = available.iter().position(|byte| *byte == b'\n');
        let taken = line_end.map_or(available.len(), |at| at + 1);
        piece.extend_from_slice(&available[..taken]);
        reader.consume(taken);
        left -= taken;
        if line_end.is_some() {
            break;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn mail(wire: &[u8], largest_bytes: usize) -> io::Result<Option<Vec<u8>>> {
        // A small buffer cuts lines in all places.
        let mut whole = tokio::io::BufReader::with_capacity(3, wire);
        read_mail(&mut whole, largest_bytes).await
    }

    #[tokio::test]
    async fn dots_are_taken_off_and_a_lone_one_ends_the_mail() {
        let read = mail(b"one\r\n..two\r\n...\r\n.\r\nQUIT\r\n", 100).await.unwrap();
        assert_eq!(read.unwrap(), b"one\r\n.two\r\n..\r\n");
    }

    #[tokio::test]
    async fn a_bare_line_feed_ends_neither_a_line_nor_a_mail() {
        let read = mail(b"one\n.\nMAIL FROM:<x>\n\n.\r\nin\r\n.\r\n", 100)
            .await
            .unwrap();
        assert_eq!(read.unwrap(), b"one\n.\nMAIL FROM:<x>\n\n.\r\nin\r\n");
    }

    #[tokio::test]
    async fn a_line_longer_than_a_piece_stays_whole_and_its_dots_stay() {
        for length in [PIECE_BYTES - 2, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1] {
            let line = [vec![b'x'; length], b".\r\n".to_vec()].concat();
            let wire = [&line[..], b"..end\r\n.\r\n"].concat();
            let read = mail(&wire, 100_000).await.unwrap().unwrap();
            assert_eq!(read, [&line[..], b".end\r\n"].concat(), "{length}");
        }
    }

    #[tokio::test]
    async fn a_mail_over_the_limit_is_read_to_its_end() {
        let mut reader = &b"12345678\r\n12345678\r\n.\r\nQUIT\r\n"[..];
        assert_eq!(read_mail(&mut reader, 19).await.unwrap(), None);
        assert_eq!(
            read_command(&mut reader).await.unwrap(),
            Line::Command(b"QUIT".to_vec())
        );
    }

    #[tokio::test]
    async fn a_mail_without_its_end_is_no_mail() {
        assert!(mail(b"one\r\n", 100).await.is_err());
    }

    #[tokio::test]
    async fn a_command_that_is_too_long_is_skipped_whole() {
        let wire = [vec![b'x'; 20_000], b"\r\nNOOP\r\n".to_vec()].concat();
        let mut reader = &wire[..];
        assert_eq!(read_command(&mut reader).await.unwrap(), Line::TooLong);
        assert_eq!(
            read_command(&mut reader).await.unwrap(),
            Line::Command(b"NOOP".to_vec())
        );
        assert_eq!(read_command(&mut reader).await.unwrap(), Line::End);
    }
}
