#include "CCoAPShim.h"
