// The text files of a checkpoint folder: a text bundle, which worker groups send and `quire-gateway --check`
// reads, is made of those of them that are there. Constants.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

namespace quire {

struct TextFileName {
  const char* name;
  bool required = false;

  constexpr bool operator<(const TextFileName& other) const {
    return std::string_view(name) < std::string_view(other.name);
  }
};

inline constexpr char kTemplateFile[] = "chat_template.jinja";

inline constexpr TextFileName kTextFiles[] = {{kTemplateFile},
                                              {"config.json", true},
                                              {"generation_config.json"},
                                              {"tokenizer.json", true},
                                              {"tokenizer_config.json"}};
static_assert(std::is_sorted(std::begin(kTextFiles), std::end(kTextFiles)), "as a bundle's files are");

}  // namespace quire
