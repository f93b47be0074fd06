// quire-schema-samples: what a schema's grammar lets come. For each line on stdin, {"schema": S, "loose": B,
// "count": N, "seed": N, "texts": [T, ...]}, one on stdout: {"problem": [PATH, MESSAGE]}, or {"samples": [T,
// ...], "takes": [B, ...]}: texts that were walked to byte by byte at random, as far as they ended, and which
// of `texts` the grammar takes. tests/conformance/test_schemas.py holds both against another implementation.
#include <dlpack/dlpack.h>
#include <xgrammar/xgrammar.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

#include "base/core/options.h"
#include "gateway/structured/schema_grammar.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr int kBytes = 256;
constexpr size_t kLongest = 2000;

// A token is a byte.
xgrammar::TokenizerInfo Bytes() {
  std::vector<std::string> vocabulary;
  for (int byte = 0; byte < kBytes; ++byte) vocabulary.push_back(std::string(1, static_cast<char>(byte)));
  vocabulary.push_back("</s>");
  return xgrammar::TokenizerInfo(vocabulary, xgrammar::VocabType::RAW, kBytes + 1,
                                 std::vector<int32_t>{kBytes});
}

std::vector<int> Next(xgrammar::GrammarMatcher& matcher) {
  std::vector<int32_t> words((kBytes + 32) / 32, -1);
  int64_t shape[] = {static_cast<int64_t>(words.size())};
  DLTensor mask{};
  mask.data = words.data();
  mask.device = {kDLCPU, 0};
  mask.ndim = 1;
  mask.dtype = {kDLInt, 32, 1};
  mask.shape = shape;
  matcher.FillNextTokenBitmask(&mask);
  std::vector<int> bytes;
  for (int byte = 0; byte < kBytes; ++byte) {
    if ((static_cast<uint32_t>(words[byte / 32]) >> (byte % 32) & 1) != 0) bytes.push_back(byte);
  }
  return bytes;
}

// Any of them, but the longer the text is the rather what ends something, and now and then what patterns ask
// for.
int Pick(const std::vector<int>& bytes, size_t written, std::mt19937& random) {
  const uint32_t throw_of_dice = random() % 6;
  std::string_view wanted = throw_of_dice == 0 ? "b" : throw_of_dice <= 2 || written > 60 ? "\"}]," : "";
  for (const char byte : wanted) {
    if (std::find(bytes.begin(), bytes.end(), byte) != bytes.end()) return byte;
  }
  return bytes[random() % bytes.size()];
}

// Null where it came to no end.
ordered_json Walk(const xgrammar::CompiledGrammar& grammar, std::mt19937& random) {
  xgrammar::GrammarMatcher matcher(grammar, std::nullopt, /*terminate_without_stop_token=*/true);
  std::string text;
  while (text.size() < kLongest) {
    const bool whole = matcher.IsCompleted();
    if (matcher.IsTerminated() || (whole && random() % 3 == 0)) return text;
    const std::vector<int> bytes = Next(matcher);
    if (bytes.empty()) return whole ? ordered_json(text) : ordered_json("<a dead end behind> " + text);
    const int byte = Pick(bytes, text.size(), random);
    if (!matcher.AcceptToken(byte)) return "<not taken, though let come, behind> " + text;
    text += static_cast<char>(byte);
  }
  return nullptr;
}

bool Takes(const xgrammar::CompiledGrammar& grammar, const std::string& text) {
  xgrammar::GrammarMatcher matcher(grammar, std::nullopt, /*terminate_without_stop_token=*/true);
  for (const char c : text) {
    if (!matcher.AcceptToken(static_cast<unsigned char>(c))) return false;
  }
  return matcher.IsCompleted();
}

ordered_json Answer(const ordered_json& asked, xgrammar::GrammarCompiler& compiler) {
  const auto grammar = gateway::SchemaGrammar(asked["schema"], {.loose = asked.value("loose", false)});
  if (const auto* problem = std::get_if<gateway::SchemaProblem>(&grammar)) {
    return {{"problem", {problem->path, problem->message}}};
  }
  const auto compiled = compiler.CompileGrammar(std::get<std::string>(grammar));
  std::mt19937 random(asked.value("seed", 0u));
  ordered_json answer{{"samples", ordered_json::array()}, {"takes", ordered_json::array()}};
  for (int i = 0; i < asked.value("count", 10); ++i) {
    ordered_json sample = Walk(compiled, random);
    if (!sample.is_null()) answer["samples"].push_back(std::move(sample));
  }
  for (const ordered_json& text : asked.value("texts", ordered_json::array())) {
    answer["takes"].push_back(Takes(compiled, text));
  }
  return answer;
}

int Serve() {
  xgrammar::GrammarCompiler compiler(Bytes(), /*max_threads=*/1, /*cache_enabled=*/false);
  for (std::string line; std::getline(std::cin, line);) {
    const ordered_json asked = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!asked.is_object() || !asked.contains("schema")) {
      std::cerr << "quire-schema-samples: a line is no JSON object with a schema: " << line.substr(0, 80)
                << "\n";
      return 1;
    }
    std::cout << Answer(asked, compiler).dump(-1, ' ', false, ordered_json::error_handler_t::replace)
              << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  quire::Options options(
      "quire-schema-samples",
      "Says what the grammars of JSON schemas let come: a line of JSON for each on stdin.");
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  return quire::Serve();
}
