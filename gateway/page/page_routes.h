// Where the page's files are on the public plane: index.html at /, NAME.html at /NAME, all others at
// /page/NAME. A browser asks again each time, and gets a 304 where the file is as it was: after an upgrade no
// page runs with modules of another. Always: a page can load and ask nothing but its own server, and runs no
// script that stands in its HTML. Immutable, any thread.
#pragma once

#include <span>

#include "base/http/reply.h"
#include "base/http/request_head.h"
#include "base/http/routes.h"
#include "gateway/page/page_files.h"

namespace quire::gateway {

// `files` must outlive the server.
void AddPageRoutes(http::RouteTable& routes, std::span<const PageFile> files = PageFiles());

// The file, or that the asker has it.
http::Reply PageReply(const PageFile& file, const http::RequestHead& head);

}  // namespace quire::gateway
