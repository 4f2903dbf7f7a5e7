// libcoap with GnuTLS reads certificate files anew for each handshake and tells nobody what is wrong with them, so they
// are looked at before. GnuTLS is there because libcoap needs it; its development files are not, and four functions of a
// stable interface are not worth asking for them.
#include "CCoAPShim.h"

#include <dlfcn.h>

static const int pem = 1;  // GNUTLS_X509_FMT_PEM

typedef struct {
    int (*allocate)(void **credentials);
    void (*free)(void *credentials);
    int (*set_key)(void *credentials, const char *certificate, const char *key, int format);
    int (*set_trust)(void *credentials, const char *authorities, int format);
    const char *(*error_text)(int error);
} gnutls_t;

static bool find_gnutls(gnutls_t *found) {
    found->allocate = (int (*)(void **))dlsym(RTLD_DEFAULT, "gnutls_certificate_allocate_credentials");
    found->free = (void (*)(void *))dlsym(RTLD_DEFAULT, "gnutls_certificate_free_credentials");
    found->set_key = (int (*)(void *, const char *, const char *, int))dlsym(
        RTLD_DEFAULT, "gnutls_certificate_set_x509_key_file");
    found->set_trust =
        (int (*)(void *, const char *, int))dlsym(RTLD_DEFAULT, "gnutls_certificate_set_x509_trust_file");
    found->error_text = (const char *(*)(int))dlsym(RTLD_DEFAULT, "gnutls_strerror");
    return found->allocate && found->free && found->set_key && found->set_trust && found->error_text;
}

const char *coap_shim_check_certificate(const char *certificate, const char *key, const char *authorities) {
    gnutls_t gnutls;
    void *credentials = NULL;
    if (!find_gnutls(&gnutls)) return "libcoap does not use GnuTLS";
    int result = gnutls.allocate(&credentials);
    if (result < 0) return gnutls.error_text(result);
    const char *words = NULL;
    result = gnutls.set_key(credentials, certificate, key, pem);
    if (result < 0) {
        words = gnutls.error_text(result);
    } else if (authorities) {
        result = gnutls.set_trust(credentials, authorities, pem);
        if (result < 0)
            words = gnutls.error_text(result);
        else if (result == 0)
            words = "there is no certificate authority in the file";
    }
    gnutls.free(credentials);
    return words;
}
