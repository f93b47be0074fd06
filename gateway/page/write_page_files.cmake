# cmake -D FOLDER=... -D FILES=a.html,b.js -D OUT=page_files.cc -P write_page_files.cmake: the files as C++, each a string
# with its SHA-256.
string(REPLACE "," ";" FILES "${FILES}")
set(table "")
foreach(name IN LISTS FILES)
  file(READ ${FOLDER}/${name} content)
  file(SHA256 ${FOLDER}/${name} digest)
  file(SIZE ${FOLDER}/${name} size)
  string(FIND "${content}" ")~page~\"" closing)
  if(size GREATER 65535 OR NOT closing EQUAL -1)
    message(FATAL_ERROR "${name} is no literal: split what has 64 KiB or more, and spell )~page~\" otherwise")
  endif()
  string(APPEND table "    {.name = \"${name}\", .etag = \"\\\"${digest}\\\"\", .content = R\"~page~(${content})~page~\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"gateway/page/page_files.h\"

namespace quire::gateway {
namespace {

constexpr PageFile kFiles[] = {
${table}};

}  // namespace

std::span<const PageFile> PageFiles() { return kFiles; }

}  // namespace quire::gateway
")
