//! The commands, one a module: arguments read, the library asked, the result printed.

pub mod ablate;
pub mod accuracy;
pub mod ask;
pub mod behaviors;
pub mod circuit;
pub mod cluster;
pub mod compare;
pub mod coverage;
pub mod diff;
pub mod discover;
pub mod explain;
pub mod graph;
pub mod hub;
pub mod pages;
pub mod patch;
pub mod property;
pub mod quirks;
pub mod report;
pub mod represents;
pub mod selfcheck;
pub mod show;
pub mod sweep;
pub mod tagged_file;
pub mod test;
pub mod train;
pub mod verify;
