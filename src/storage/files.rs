//! Output files, each written atomically.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a report could not be written.
#[derive(Debug, Error)]
#[error("{}: cannot be written: {reason}", .path.display())]
pub struct OutputError {
    pub path: PathBuf,
    /// The operating system's error.
    pub reason: io::Error,
}

/// Checks that files can be created in `folder`, which need not exist yet, and leaves nothing
/// behind.
///
/// # Errors
/// [`OutputError`] if no file can be created in the nearest existing folder.
pub fn check_writable(folder: &Path) -> Result<(), OutputError> {
    let existing = folder
        .ancestors()
        .map(|path| {
            if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            }
        })
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    match tempfile::NamedTempFile::new_in(existing) {
        Ok(_) => Ok(()),
        Err(reason) => Err(OutputError {
            path: folder.to_owned(),
            reason,
        }),
    }
}

/// Writes files into `folder`, creating it if necessary. Each is written under another name and
/// then renamed, so that an interrupted run leaves either the old file or the new one.
///
/// # Errors
/// [`OutputError`] for the first file that could not be written.
pub fn write_files<B: AsRef<[u8]>>(folder: &Path, files: &[(&str, B)]) -> Result<(), OutputError> {
    let failed = |path: PathBuf| move |reason: io::Error| OutputError { path, reason };
    std::fs::create_dir_all(folder).map_err(failed(folder.to_owned()))?;
    for (name, content) in files {
        let path = folder.join(name);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".circuitcheck-");
        // As any other new file: readable by everyone, unless the user's umask forbids it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let write = || -> io::Result<()> {
            let mut file = builder.tempfile_in(folder)?;
            file.write_all(content.as_ref())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed(path.clone()))?;
    }
    Ok(())
}

/// Most bytes that are read of a file that the program itself wrote: results, records, and what is kept
/// to resume.
pub const MAX_RESULT_BYTES: u64 = 64 << 20;

/// The content of such a file.
///
/// # Errors
/// The operating system's, and [`io::ErrorKind::FileTooLarge`] above [`MAX_RESULT_BYTES`].
pub fn read_result(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_RESULT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_RESULT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than the {MAX_RESULT_BYTES} bytes that are read of a result"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_older_ones_and_leave_no_other_behind() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/er");
        write_files(&out, &[("a", "old")]).unwrap();
        write_files(&out, &[("a", "new"), ("b", "x")]).unwrap();
        assert_eq!(std::fs::read_to_string(out.join("a")).unwrap(), "new");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_is_a_file_is_refused_with_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = check_writable(&file.path().join("out")).unwrap_err();
        let name = file.path().join("out").display().to_string();
        assert!(error.to_string().starts_with(&name), "{error}");
        assert!(write_files::<&str>(&file.path().join("out"), &[]).is_err());
    }
}
