// quire-bench-tokenizer: encodes texts on one thread, again and again. Prints one JSON line: how many ids
// there are, their SHA-256 (int32, little endian: who compares with another tokenizer compares these first),
// and the seconds of each round.

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "gateway/text/tokenizer.h"

namespace {

using quire::gateway::Tokenizer;

struct Config {
  std::string tokenizer, texts;
  int64_t rounds = 5;

  void Declare(quire::Options& options);
};

void Config::Declare(quire::Options& options) {
  options.Add("tokenizer", &tokenizer, "FILE", "tokenizer.json");
  options.Require("tokenizer");
  options.Add("texts", &texts, "FILE", "a list of strings, in JSON");
  options.Require("texts");
  options.Add("rounds", &rounds, "N", "over all texts", {1, 1000});
}

absl::StatusOr<std::vector<std::string>> ReadTexts(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(const std::string file, quire::ReadWholeFile(path));
  const auto texts = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!texts.is_array()) return absl::InvalidArgumentError(path + " is no list of strings");
  std::vector<std::string> found;
  for (const auto& text : texts) {
    if (!text.is_string()) return absl::InvalidArgumentError(path + " is no list of strings");
    found.push_back(text.get<std::string>());
  }
  return found;
}

absl::StatusOr<std::vector<quire::TokenId>> EncodeAll(const Tokenizer& tokenizer,
                                                      const std::vector<std::string>& texts) {
  std::vector<quire::TokenId> all;
  for (const std::string& text : texts) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<quire::TokenId> ids,
                           tokenizer.Encode(text, quire::gateway::Origin::kUser));
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

absl::Status Run(const Config& config) {
  QUIRE_ASSIGN_OR_RETURN(const std::string file, quire::ReadWholeFile(config.tokenizer));
  QUIRE_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Create(file, ""));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<std::string> texts, ReadTexts(config.texts));
  std::vector<quire::TokenId> ids;
  std::vector<double> seconds;
  for (int64_t round = 0; round < config.rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    QUIRE_ASSIGN_OR_RETURN(ids, EncodeAll(*tokenizer, texts));
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const std::string_view bytes(reinterpret_cast<const char*>(ids.data()),
                               ids.size() * sizeof(quire::TokenId));
  const nlohmann::json line = {
      {"ids", ids.size()}, {"sha256", quire::ToHex(quire::Sha256(bytes))}, {"seconds", seconds}};
  std::printf("%s\n", line.dump().c_str());
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Config config;
  quire::Options options("quire-bench-tokenizer", "Texts to ids, timed, on one thread.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  const absl::Status ran = Run(config);
  if (ran.ok()) return 0;
  std::fprintf(stderr, "quire-bench-tokenizer: %s\n", quire::MessageOf(ran).c_str());
  return 1;
}
