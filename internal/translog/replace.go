package translog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFolder marks an error that came after the new file had taken the old one's place: only the durability of the
// name is in doubt.
var errFolder = errors.New("the folder could not be synced")

// replaceFile writes a file under a temporary name, syncs it and renames it over the old one, so that a crash
// leaves one of the two, whole.
func replaceFile(fs vfs.FS, dir, name string, write func(vfs.File) error) error {
	tmp := fs.PathJoin(dir, name+tmpSuffix)
	if err := writeFile(fs, tmp, write); err != nil {
		return fmt.Errorf("translog: write %s%s: %w", name, tmpSuffix, errors.Join(err, removeIfThere(fs, tmp)))
	}
	return commitFile(fs, dir, name, name+tmpSuffix)
}

// commitFile renames a synced temporary file over the old one and makes the name durable.
func commitFile(fs vfs.FS, dir, name, tmp string) error {
	if err := fs.Rename(fs.PathJoin(dir, tmp), fs.PathJoin(dir, name)); err != nil {
		return fmt.Errorf("translog: rename %s to %s: %w", tmp, name, errors.Join(err, removeIfThere(fs, fs.PathJoin(dir, tmp))))
	}
	if err := syncFolder(fs, dir); err != nil {
		return fmt.Errorf("%w: %w", errFolder, err)
	}
	return nil
}

// writeFile creates a file, lets write fill it and syncs it.
func writeFile(fs vfs.FS, path string, write func(vfs.File) error) error {
	f, err := fs.Create(path, category)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// removeIfThere cleans up after a failure; what it cannot remove, the next Open does.
func removeIfThere(fs vfs.FS, path string) error {
	if _, err := fs.Stat(path); err != nil {
		return nil
	}
	return fs.Remove(path)
}

// syncFolder makes the names in a folder durable.
func syncFolder(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("translog: open folder %s: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("translog: sync folder %s: %w", dir, errors.Join(err, d.Close()))
	}
	return d.Close()
}
