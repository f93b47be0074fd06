// What a coordinator makes of its data folder: begun, cut short at any moment, damaged, or with files lost.
#include "coordinator/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/core/files.h"
#include "base/core/secret_file.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DataFolderTest : public testing::Test {
 protected:
  DataFolderTest() : root_(testing::TempDir() + "/quire_data_XXXXXX") {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    data_ = root_ + "/data";
  }
  ~DataFolderTest() override { std::filesystem::remove_all(root_); }

  std::string File(const std::string& name) const { return data_ + "/" + name; }
  void Write(const std::string& name, const std::string& content) const {
    ASSERT_TRUE(WriteFileAtomically(File(name), content, 0600).ok());
  }
  // A folder with a key in its books, as a coordinator leaves it.
  FirstKeys MakeUsedFolder() const {
    const auto folder = DataFolder::Open(data_);
    EXPECT_TRUE(folder.ok()) << folder.status();
    const FirstKeys keys = *folder->MakeFirstKeys();
    LedgerBatch batch;
    batch.term = *folder->ledger()->TakeOver();
    for (const std::string& text : {keys.admin_key, keys.api_key}) {
      KeyRow row;
      row.id = ParseApiKey(text)->id;
      row.kind = ParseApiKey(text)->kind;
      row.hmac = ToBytes(ApiKeyHmac(folder->pepper(), text));
      row.account = "default";
      batch.keys.push_back(row);
    }
    EXPECT_TRUE(folder->ledger()->Commit(batch).ok());
    return keys;
  }
  void ChangeLedger(const char* sql) const {
    const auto database = *SqliteDatabase::Open(File("ledger.db"), SqliteMode::kReadWrite);
    ASSERT_TRUE(database->Query(sql).Run().ok());
  }
  // As a release made it that kept no proof.
  void MakeLedgerOlder() const {
    for (const char* sql : {"DROP INDEX entry_reverses", "ALTER TABLE entry DROP COLUMN kind",
                            "ALTER TABLE entry DROP COLUMN reverses", "ALTER TABLE entry DROP COLUMN note",
                            "DROP TABLE pepper", "PRAGMA user_version = 2"}) {
      ChangeLedger(sql);
    }
  }
  std::string Refusal() const {
    const absl::Status refused = DataFolder::Open(data_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    return MessageOf(refused);
  }
  static constexpr int kCantBeTraced = 77;

  // A first start in a child that is killed where it enters its `moment`-th system call; false: it has ended.
  bool DiesAt(int moment) {
    const pid_t child = fork();
    if (child == 0) {
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kCantBeTraced);
      raise(SIGSTOP);
      _exit(DataFolder::Open(data_).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    constexpr int kStopsPerCall = 2;  // where it is entered, and where it returns
    for (int stop = 0; WIFSTOPPED(status) && stop < kStopsPerCall * moment - 1; ++stop) {
      ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
      waitpid(child, &status, 0);
    }
    if (!WIFSTOPPED(status)) {
      EXPECT_TRUE(WIFEXITED(status)) << "moment " << moment;
      exit_code_ = WEXITSTATUS(status);
      return false;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return true;
  }

  std::string root_, data_;
  int exit_code_ = -1;  // of the start that nothing cut short
};

TEST_F(DataFolderTest, AFirstStartThatIsCutShortAnywhereLocksNobodyOut) {
  int moment = 1, with_pepper = 0, with_books_only = 0;
  for (; DiesAt(moment); ++moment) {
    const bool has_pepper = std::filesystem::exists(File("pepper"));
    with_pepper += has_pepper;
    with_books_only += !has_pepper && std::filesystem::exists(File("ledger.db"));
    const auto second = DataFolder::Open(data_);
    ASSERT_TRUE(second.ok()) << "moment " << moment << ": " << second.status();
    std::filesystem::remove_all(data_);
  }
  if (exit_code_ == kCantBeTraced) GTEST_SKIP() << "this system lets no process be traced";
  EXPECT_EQ(exit_code_, 0);
  EXPECT_GT(with_pepper, 10);  // it was cut on both sides of each file
  EXPECT_GT(with_books_only, 10);
}

TEST_F(DataFolderTest, WhatWasMadeIsFoundAgain) {
  const FirstKeys keys = MakeUsedFolder();
  const std::string pepper = *ReadWholeFile(File("pepper"));
  const auto again = DataFolder::Open(data_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->pepper(), pepper);
  EXPECT_EQ((*again->LoadFirstKeys())->api_key, keys.api_key);
}

// New books would have no cap, no account and no revocation of the old ones.
TEST_F(DataFolderTest, ALostLedgerIsNotBegunAnew) {
  MakeUsedFolder();
  const std::string books = *ReadWholeFile(File("ledger.db")), pepper = *ReadWholeFile(File("pepper"));
  const auto says_what_to_do =
      AllOf(HasSubstr("ledger.db"), HasSubstr("restore it"), HasSubstr("move the whole"));
  std::filesystem::remove(File("ledger.db"));
  for (int start = 0; start < 2; ++start) {
    EXPECT_THAT(Refusal(), says_what_to_do);
    EXPECT_FALSE(std::filesystem::exists(File("ledger.db"))) << "a refused start leaves it as it was";
  }
  Write("ledger.db", "");
  EXPECT_THAT(Refusal(), says_what_to_do);
  std::filesystem::remove(File("ledger.db"));
  std::filesystem::remove(File("pepper"));
  std::filesystem::remove(File("keys.json"));
  for (const char* mark : {"keys.json", "epochs.json", "models.json", "fleet.json", "bundles.db"}) {
    Write(mark, "{}");
    EXPECT_THAT(Refusal(), says_what_to_do) << mark << " says that there was one";
    std::filesystem::remove(File(mark));
  }
  Write("pepper", pepper);
  Write("ledger.db", books);
  EXPECT_TRUE(DataFolder::Open(data_).ok());
}

// An operator may bring one along, and a first start of an older release made it before the ledger.
TEST_F(DataFolderTest, APepperAloneIsAFolderToBeginWith) {
  std::filesystem::create_directory(data_);
  const std::string pepper = MakeSecret();
  Write("pepper", pepper);
  const auto folder = DataFolder::Open(data_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->pepper(), pepper);
}

// A file that can't be looked at may be there.
TEST_F(DataFolderTest, WhatCantBeLookedAtCountsAsThere) {
  MakeUsedFolder();
  std::filesystem::remove(File("keys.json"));
  std::filesystem::create_symlink("epochs.json",
                                  File("epochs.json"));  // to itself: not even root may follow it
  std::filesystem::remove(File("ledger.db"));
  EXPECT_THAT(Refusal(), HasSubstr("ledger.db"));
}

// As where ledger.db-wal was lost before it was copied back: the file is there, and holds no books.
TEST_F(DataFolderTest, AFileWithoutBooksIsALostLedger) {
  MakeUsedFolder();
  std::filesystem::remove(File("ledger.db"));
  { const auto empty = *SqliteDatabase::Open(File("ledger.db"), SqliteMode::kReadWrite); }
  ASSERT_GT(std::filesystem::file_size(File("ledger.db")), 0u);
  for (int start = 0; start < 2; ++start) EXPECT_THAT(Refusal(), HasSubstr("holds no books"));
}

TEST_F(DataFolderTest, AnotherPepperIsRefused) {
  MakeUsedFolder();
  const std::string pepper = *ReadWholeFile(File("pepper"));
  Write("pepper", MakeSecret());
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("pepper"), HasSubstr("restore both from one backup")));
  for (const std::string& damaged : {pepper + "\n", pepper.substr(0, 42), std::string()}) {
    Write("pepper", damaged);
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("pepper is damaged"), HasSubstr("restore it")));
  }
  std::filesystem::remove(File("pepper"));
  EXPECT_THAT(Refusal(), HasSubstr("pepper is missing"));
  Write("pepper", pepper);
  EXPECT_TRUE(DataFolder::Open(data_).ok());
}

TEST_F(DataFolderTest, AnOlderLedgerGetsItsProofAtItsFirstStart) {
  MakeUsedFolder();
  MakeLedgerOlder();
  const std::string pepper = *ReadWholeFile(File("pepper"));
  std::filesystem::remove(File("pepper"));
  EXPECT_THAT(Refusal(), HasSubstr("pepper is missing"));
  Write("pepper", MakeSecret());
  EXPECT_THAT(Refusal(), HasSubstr("restore both")) << "the first keys tell";
  Write("pepper", pepper);
  ASSERT_TRUE(DataFolder::Open(data_).ok());
  std::filesystem::remove(File("keys.json"));
  Write("pepper", MakeSecret());
  EXPECT_THAT(Refusal(), HasSubstr("restore both")) << "the proof does";
}

// Once it were sealed the right one would be refused for good.
TEST_F(DataFolderTest, APepperThatNothingProvesIsNotSealed) {
  MakeUsedFolder();
  MakeLedgerOlder();
  const std::string pepper = *ReadWholeFile(File("pepper")), kept = *ReadWholeFile(File("keys.json"));
  std::filesystem::remove(File("keys.json"));  // as operators may
  Write("pepper", MakeSecret());
  ASSERT_TRUE(DataFolder::Open(data_).ok());
  Write("pepper", pepper);
  ASSERT_TRUE(DataFolder::Open(data_).ok());
  Write("keys.json", kept);
  ASSERT_TRUE(DataFolder::Open(data_).ok());
  std::filesystem::remove(File("keys.json"));
  Write("pepper", MakeSecret());
  EXPECT_THAT(Refusal(), HasSubstr("restore both")) << "now it is proven";
}

TEST_F(DataFolderTest, ADamagedWorkerSecretIsNamed) {
  MakeUsedFolder();
  const std::string secret = *ReadWholeFile(File("worker_secret"));
  for (const std::string& damaged : {secret + "\n", secret.substr(0, 40), std::string(64, '\xff')}) {
    Write("worker_secret", damaged);
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("worker_secret is damaged"), HasSubstr("delete it")));
  }
  std::filesystem::remove(File("worker_secret"));
  EXPECT_TRUE(DataFolder::Open(data_).ok());
}

TEST_F(DataFolderTest, AFolderInAFilesPlaceSaysWhatToDo) {
  MakeUsedFolder();
  for (const char* name : {"pepper", "worker_secret", "lock", "ledger.db"}) {
    std::filesystem::rename(File(name), root_ + "/kept");
    std::filesystem::create_directory(File(name));
    EXPECT_THAT(MessageOf(DataFolder::Open(data_).status()),
                AllOf(HasSubstr(name), HasSubstr("Is a directory: a file belongs there")));
    std::filesystem::remove(File(name));
    std::filesystem::rename(root_ + "/kept", File(name));
  }
  EXPECT_TRUE(DataFolder::Open(data_).ok());
}

}  // namespace
}  // namespace quire::coordinator
