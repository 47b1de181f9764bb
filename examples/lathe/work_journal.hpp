#pragma once
/// \file  Long work in items, that goes on where a run that was killed stopped.
#include "files.hpp"

namespace lathe_cli {

/// The items that are done, in a folder that also holds what they made. The folder belongs to one digest of what is to
/// be done: found there under another, it is emptied. It is for one run at a time.
class work_journal {
    fs::path folder_;
    std::optional<lathe::io::file> file_;
    std::uint64_t end_ = 0;
    std::map<std::string, json> done_;
    std::size_t found_ = 0;

    void append(json const & line);
    void read(std::string const & head);
    void remove_files(bool journal_too) const;

public:
    /// \param folder made if it is not there \param restart forgets what was done
    /// \throws io_error, also if another run has it or it holds files of somebody else
    work_journal(fs::path folder, std::string const & digest, bool restart);

    [[nodiscard]] fs::path const & folder() const noexcept { return folder_; }
    /// How many items an earlier run had done.
    [[nodiscard]] std::size_t found() const noexcept { return found_; }
    /// Whether nothing is done that would be lost with the folder.
    [[nodiscard]] bool empty() const noexcept { return done_.empty(); }
    /// What was recorded with an item, if it is done.
    [[nodiscard]] json const * done(std::string const & item) const;
    /// An item is done, and what it made is where it belongs. On the disk when this returns.
    void record(std::string const & item, json const & report);
    /// Nothing is done.
    void forget();
    /// All is done: the folder goes.
    void finish();
};

/// The folder for what becomes `output`, beside it.
fs::path journal_folder(std::string const & output);
/// 16 hexadecimal digits for a text (FNV-1a).
std::string digest_of(std::string const & text);
/// What a digest takes for the contents of an input: its files, their sizes and when they were written.
json identity_of(input const & in);

} // namespace lathe_cli
