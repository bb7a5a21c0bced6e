# SPDX-License-Identifier: GPL-2.0
# Of the words that bindgen wrote: declares the types that there are only pointers to, most of them in signatures of
# operations that are not used.
before ~ /^\*(mut|const)$/ && !/^(\*.*|Self|T|_|ffi|[ui][0-9]+_?)$/ { pointees[$0] }
before ~ /^(struct|union|type|enum|as)$/ { defined[$0] }
{ before = $0 }
END { for (name in pointees) if (!(name in defined)) print "#[repr(C)] pub struct " name " { _private: [u8; 0] }" }
