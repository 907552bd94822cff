//! Directories as a whole: what they take on disk, copies of them, and forgetting that they were read.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes that the files below `dir` take on disk, holes left out.
pub fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => total += disk_bytes(&entry.path())?,
            Ok(meta) => total += allocated(&meta),
            // An engine may remove a file while the walk goes on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

#[cfg(unix)]
fn allocated(meta: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(meta: &fs::Metadata) -> u64 {
    meta.len()
}

/// Copies everything below `from` into the new directory `to`.
pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Makes the operating system forget what it has read of the files below `dir`. Only Linux can be told to.
#[cfg(target_os = "linux")]
pub fn evict(dir: &Path) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            evict(&path)?;
        } else {
            let file = fs::File::open(&path)?;
            // Only clean pages can be dropped.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub fn evict(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_the_same_files_and_space_is_the_sum_of_all_folders() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("a"), vec![1; 10_000]).unwrap();
        fs::write(from.join("inner/b"), vec![2; 10_000]).unwrap();
        let to = dir.path().join("to");
        copy_dir(&from, &to).unwrap();
        evict(&to).unwrap();
        assert_eq!(fs::read(to.join("inner/b")).unwrap(), vec![2; 10_000]);
        assert!(disk_bytes(&to).unwrap() >= 20_000);
    }
}
