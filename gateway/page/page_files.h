// The files of this folder that browsers get (*.html, *.css, *.js, *.svg), compiled in: CMakeLists.txt makes
// the table at build time. Immutable, any thread.
#pragma once

#include <span>
#include <string_view>

namespace quire::gateway {

struct PageFile {
  std::string_view name;  // within the folder
  std::string_view etag;  // quoted: a hash of the content
  std::string_view content;
};

std::span<const PageFile> PageFiles();

}  // namespace quire::gateway
