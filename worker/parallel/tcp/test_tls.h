// For tests: certificates of a group on 127.0.0.1, made once by the openssl program.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "worker/parallel/tcp/tls_context.h"

namespace quire::worker {

class TestCertificates {
 public:
  static const TestCertificates& Get() {
    static const TestCertificates certificates;
    return certificates;
  }
  ~TestCertificates() { std::filesystem::remove_all(folder_); }

  LinkTlsFiles worker;    // for quire-worker
  LinkTlsFiles gateway;   // of the same authority, for another role
  LinkTlsFiles stranger;  // for quire-worker, of another authority; it trusts ours

 private:
  TestCertificates() {
    std::string pattern = ::testing::TempDir() + "quire_ranks_XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    worker = Make("ours", "worker", "DNS:quire-worker.pod-1");
    gateway = Make("ours", "gateway", "DNS:quire-gateway");
    stranger = Make("others", "stranger", "DNS:quire-worker");
    stranger.ca = worker.ca;
  }

  LinkTlsFiles Make(const std::string& authority, const std::string& name, const std::string& names) {
    const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    if (!std::filesystem::exists(folder_ / (authority + ".pem"))) {
      Run(absl::StrCat("req -x509 ", key, " -subj /CN=", authority, " -days 2 -keyout ", authority,
                       ".key -out ", authority, ".pem"));
    }
    std::ofstream(folder_ / "names") << "subjectAltName=IP:127.0.0.1," << names << "\n";
    Run(absl::StrCat("req -new ", key, " -subj /CN=any -keyout ", name, ".key -out ", name, ".csr"));
    Run(absl::StrCat("x509 -req -days 2 -extfile names -CAcreateserial -CA ", authority, ".pem -CAkey ",
                     authority, ".key -in ", name, ".csr -out ", name, ".pem"));
    return {folder_ / (name + ".pem"), folder_ / (name + ".key"), folder_ / (authority + ".pem")};
  }

  void Run(const std::string& arguments) {
    const std::string command = absl::StrCat("cd ", folder_.string(), " && openssl ", arguments, " 2>log");
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::filesystem::path folder_;
};

}  // namespace quire::worker
