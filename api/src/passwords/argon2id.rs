//! argon2id in memory that is returned to the operating system after each hash.
//!
//! The argon2 crate allocates its 19 MiB buffer on the heap, and glibc keeps it in an arena of each thread that ever
//! hashed: a hundred megabytes for a process that hashes one password at a time. An allocation above 32 MiB is always
//! mapped from the system and unmapped when it is freed (<https://man7.org/linux/man-pages/man3/mallopt.3.html>,
//! `M_MMAP_THRESHOLD`). Only the pages that are written to become resident. jemalloc, which the api uses, returns such
//! memory within ten seconds in any case (`opt.dirty_decay_ms`).

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{
    self, CustomizedPasswordHasher, Error, PasswordHasher, Version as VersionNumber,
};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// More than 32 MiB, in blocks: above the largest mmap threshold.
const MIN_MMAP_BLOCKS: usize = 33 * 1024 * 1024 / Block::SIZE;

/// Hashes with these parameters, and verifies with those that a hash names.
pub(super) struct Argon2id(pub(super) Params);

impl PasswordHasher<PasswordHash> for Argon2id {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> password_hash::Result<PasswordHash> {
        compute(password, salt, Algorithm::Argon2id, Version::V0x13, &self.0)
    }
}

impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<VersionNumber>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?;
        let version = version.map(Version::try_from).transpose()?;
        compute(
            password,
            salt,
            algorithm.unwrap_or_default(),
            version.unwrap_or_default(),
            &params,
        )
    }
}

fn compute(
    password: &[u8],
    salt: &[u8],
    algorithm: Algorithm,
    version: Version,
    params: &Params,
) -> password_hash::Result<PasswordHash> {
    let salt = Salt::new(salt)?;
    let mut output = [0; Output::MAX_LENGTH];
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(MIN_MMAP_BLOCKS));
    memory.resize(blocks, Block::new());
    Argon2::new(algorithm, version, params.clone()).hash_password_into_with_memory(
        password,
        &salt,
        output,
        &mut memory[..],
    )?;
    Ok(PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(salt),
        hash: Some(Output::new(output)?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};

    use argon2::password_hash::PasswordVerifier;

    use super::*;

    #[test]
    fn a_hash_is_that_of_argon2_and_each_checks_the_others() {
        let params = || Params::new(1024, 2, 1, None).unwrap();
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params());
        let ours = Argon2id(params());
        let salt = b"sixteen bytes of";
        let hash: PasswordHash = ours.hash_password_with_salt(b"correct horse", salt).unwrap();
        let same: PasswordHash = theirs.hash_password_with_salt(b"correct horse", salt).unwrap();
        assert_eq!(hash.to_string(), same.to_string());
        let others = Argon2id(Params::new(64, 1, 1, None).unwrap());
        others.verify_password(b"correct horse", &same).unwrap();
        others.verify_password(b"wrong", &same).unwrap_err();
    }

    /// Resident memory of the process.
    #[cfg(target_os = "linux")]
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The threads outlive their hashes, as blocking threads of the runtime do.
    #[test]
    #[cfg(target_os = "linux")]
    fn no_thread_keeps_the_memory_of_its_hash() {
        const THREADS: usize = 8;
        /// Far less than a buffer per thread, and more than concurrent tests allocate.
        const MAX_GROWN_KIB: u64 = 100 * 1024;
        let before = resident_kib();
        let turn = Mutex::new(());
        let (hashed, measured) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        let grown = std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    // glibc raises its mmap threshold after the first free of such a size. What is allocated after a
                    // buffer, and kept, prevents the heap from shrinking.
                    let mut kept = Vec::new();
                    for _ in 0..3 {
                        let _turn = turn.lock().unwrap();
                        let hasher = Argon2id(Params::new(20 * 1024, 1, 1, None).unwrap());
                        let hash: PasswordHash =
                            hasher.hash_password_with_salt(b"x", b"sixteen bytes of").unwrap();
                        kept.push((hash.to_string(), vec![1_u8; 600]));
                    }
                    hashed.wait();
                    measured.wait();
                });
            }
            hashed.wait();
            let grown = resident_kib().saturating_sub(before);
            measured.wait();
            grown
        });
        assert!(
            grown < MAX_GROWN_KIB,
            "{grown} KiB more after {THREADS} threads have hashed"
        );
    }
}
