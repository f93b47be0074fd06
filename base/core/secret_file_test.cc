#include "base/core/secret_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/core/files.h"
#include "base/core/status.h"

namespace quire {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SecretFileTest : public testing::Test {
 protected:
  SecretFileTest() : folder_(testing::TempDir() + "/quire_secret_XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  }
  ~SecretFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/secret"; }
  absl::StatusOr<std::string> Read(const std::string& content) const {
    EXPECT_TRUE(WriteFileAtomically(Path(), content, 0600).ok());
    return ReadSecretFile(Path(), "restore it");
  }

  std::string folder_;
};

TEST_F(SecretFileTest, WhatIsMadeCanBeRead) {
  const std::string secret = MakeSecret();
  EXPECT_EQ(*Read(secret), secret);
  EXPECT_NE(MakeSecret(), secret);
}

// Each of these would be another secret, and a byte that no header may hold ends the process that sends it.
TEST_F(SecretFileTest, EveryOtherFormIsDamaged) {
  const std::string secret = MakeSecret();
  std::string upper = secret, high = secret, line = secret;
  upper[5] = 'A';
  high[5] = '\xff';
  line[5] = '\n';
  for (const std::string& damaged : {std::string(), secret + "\n", secret.substr(0, 40), "\n" + secret,
                                     secret + secret, upper, high, line}) {
    const absl::Status refused = Read(damaged).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(MessageOf(refused), AllOf(HasSubstr(Path()), HasSubstr("restore it")));
  }
}

TEST_F(SecretFileTest, WhatIsNoFileSaysWhatToDo) {
  EXPECT_TRUE(absl::IsNotFound(ReadSecretFile(Path(), "restore it").status()));
  const absl::Status folder = ReadSecretFile(folder_, "restore it").status();
  EXPECT_THAT(MessageOf(folder),
              AllOf(HasSubstr("Is a directory"), HasSubstr("a file belongs there"), HasSubstr("restore it")));
}

}  // namespace
}  // namespace quire
