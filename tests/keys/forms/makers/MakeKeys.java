import java.io.ByteArrayOutputStream;
import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.Date;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.crypto.util.OpenSSHPrivateKeyUtil;
import org.bouncycastle.crypto.util.PrivateKeyFactory;
import org.bouncycastle.crypto.util.PrivateKeyInfoFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.jcajce.JcaMiscPEMGenerator;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.openssl.jcajce.JceOpenSSLPKCS8EncryptorBuilder;
import org.bouncycastle.openssl.jcajce.JcePEMEncryptorBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/** Keys of files/base as Java and BouncyCastle write them: java MakeKeys.java BASE TARGET. */
public class MakeKeys {
    static Path base;
    static Path target;
    static final char[] SECRET = "secret".toCharArray();

    static void put(String name, byte[] data) throws Exception {
        Files.write(target.resolve(name), data);
    }

    static void pem(String name, Object value) throws Exception {
        StringWriter text = new StringWriter();
        try (JcaPEMWriter writer = new JcaPEMWriter(text)) {
            writer.writeObject(value);
        }
        put(name, text.toString().getBytes(StandardCharsets.US_ASCII));
    }

    static byte[] der(String name) throws Exception {
        String text = Files.readString(base.resolve(name + ".pem"));
        return Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", ""));
    }

    static byte[] spki(String name) throws Exception {
        return Files.readAllBytes(base.resolve(name + ".spki.der"));
    }

    static KeyFactory factory(String algorithm, String provider) throws Exception {
        return provider == null ? KeyFactory.getInstance(algorithm) : KeyFactory.getInstance(algorithm, provider);
    }

    static X509Certificate certificate(PrivateKey key, PublicKey open, String signature) throws Exception {
        X500Name name = new X500Name("CN=throwaway");
        Date from = new Date(0), until = new Date(4102444800000L);
        var builder = new JcaX509v3CertificateBuilder(name, BigInteger.ONE, from, until, name, open);
        return new JcaX509CertificateConverter().setProvider("BC").getCertificate(
            builder.build(new JcaContentSignerBuilder(signature).setProvider("BC").build(key)));
    }

    static void store(String name, String type, String provider, Object... entries) throws Exception {
        KeyStore store = provider == null ? KeyStore.getInstance(type) : KeyStore.getInstance(type, provider);
        store.load(null, null);
        for (int at = 0; at < entries.length; at += 2) {
            if (entries[at] instanceof PrivateKey key) {
                store.setKeyEntry("key" + at, key, SECRET, new X509Certificate[] {(X509Certificate) entries[at + 1]});
            } else {
                store.setKeyEntry("key" + at, (SecretKeySpec) entries[at], SECRET, null);
            }
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        store.store(out, SECRET);
        put(name, out.toByteArray());
    }

    public static void main(String[] args) throws Exception {
        base = Path.of(args[0]);
        target = Path.of(args[1]);
        Security.addProvider(new BouncyCastleProvider());
        String[][] keys = {
            {"rsa2048", "RSA", "SHA256withRSA"}, {"p256", "EC", "SHA256withECDSA"}, {"p384", "EC", "SHA384withECDSA"},
            {"p521", "EC", "SHA512withECDSA"}, {"ed25519", "Ed25519", "Ed25519"}, {"dsa2048", "DSA", "SHA256withDSA"}};
        SecretKeySpec aes = new SecretKeySpec(new byte[16], "AES");
        PrivateKey p256 = null, rsa = null;
        X509Certificate p256Certificate = null, rsaCertificate = null;
        for (String[] one : keys) {
            String name = one[0];
            PrivateKey key = factory(one[1], null).generatePrivate(new PKCS8EncodedKeySpec(der(name)));
            PublicKey open = factory(one[1], null).generatePublic(new X509EncodedKeySpec(spki(name)));
            PrivateKey bcKey = factory(one[1], "BC").generatePrivate(new PKCS8EncodedKeySpec(der(name)));
            put(name + ".pkcs8.der", key.getEncoded());
            put(name + ".spki.der", open.getEncoded());
            put(name + ".pkcs8.base64", Base64.getEncoder().encode(key.getEncoded()));
            put(name + ".spki.base64", Base64.getMimeEncoder().encode(open.getEncoded()));
            put("bc." + name + ".pkcs8.der", bcKey.getEncoded());
            X509Certificate certificate = certificate(bcKey, open, one[2]);
            put(name + ".certificate.der", certificate.getEncoded());
            pem("bc." + name + ".certificate.pem", certificate);
            pem("bc." + name + ".private.pem", bcKey);
            pem("bc." + name + ".public.pem", open);
            if (!name.equals("ed25519")) {
                pem("bc." + name + ".old.pem", new JcaMiscPEMGenerator(
                    bcKey, new JcePEMEncryptorBuilder("AES-256-CBC").setProvider("BC").build(SECRET)));
            }
            pem("bc." + name + ".encrypted.pem", new JcaPKCS8Generator(bcKey, new JceOpenSSLPKCS8EncryptorBuilder(
                JcaPKCS8Generator.AES_256_CBC).setProvider("BC").setPassword(SECRET).build()));
            store(name + ".p12", "PKCS12", "SunJSSE", key, certificate);
            store("bc." + name + ".p12", "PKCS12", "BC", bcKey, certificate);
            if (name.equals("p256")) {
                p256 = key;
                p256Certificate = certificate;
            }
            if (name.equals("rsa2048")) {
                rsa = key;
                rsaCertificate = certificate;
            }
            if (name.equals("ed25519")) {
                var parameters = PrivateKeyFactory.createKey(der(name));
                put("bc." + name + ".openssh", ("-----BEGIN OPENSSH PRIVATE KEY-----\n" + Base64.getMimeEncoder().encodeToString(
                    OpenSSHPrivateKeyUtil.encodePrivateKey(parameters)) + "\n-----END OPENSSH PRIVATE KEY-----\n").getBytes());
            }
        }
        // the second version of PKCS#8, with the public half
        put("bc.ed25519.version2.der", PrivateKeyInfoFactory.createPrivateKeyInfo(PrivateKeyFactory.createKey(der("ed25519"))).getEncoded());
        put("bc.x25519.version2.der", PrivateKeyInfoFactory.createPrivateKeyInfo(PrivateKeyFactory.createKey(der("x25519"))).getEncoded());
        put("x25519.pkcs8.der", factory("X25519", null).generatePrivate(new PKCS8EncodedKeySpec(der("x25519"))).getEncoded());
        put("x25519.spki.der", factory("X25519", null).generatePublic(new X509EncodedKeySpec(spki("x25519"))).getEncoded());
        put("dh2048.pkcs8.der", factory("DH", null).generatePrivate(new PKCS8EncodedKeySpec(der("dh2048"))).getEncoded());
        put("dh2048.spki.der", factory("DH", null).generatePublic(new X509EncodedKeySpec(spki("dh2048"))).getEncoded());
        // SM2 by BouncyCastle
        PrivateKey sm2 = factory("EC", "BC").generatePrivate(new PKCS8EncodedKeySpec(der("sm2")));
        PublicKey sm2Open = factory("EC", "BC").generatePublic(new X509EncodedKeySpec(spki("sm2")));
        put("bc.sm2.pkcs8.der", sm2.getEncoded());
        put("bc.sm2.spki.der", sm2Open.getEncoded());
        pem("bc.sm2.private.pem", sm2);
        X509Certificate sm2Certificate = certificate(sm2, sm2Open, "SM3withSM2");
        put("bc.sm2.certificate.der", sm2Certificate.getEncoded());
        store("bc.sm2.p12", "PKCS12", "BC", sm2, sm2Certificate);
        // what is not taken
        store("rsa2048.jks", "JKS", "SUN", rsa, rsaCertificate);
        store("rsa2048.jceks", "JCEKS", "SunJCE", rsa, rsaCertificate);
        store("bc.rsa2048.bks", "BKS", "BC", rsa, rsaCertificate);
        store("bc.rsa2048.uber", "UBER", "BC", rsa, rsaCertificate);
        store("bc.rsa2048.bcfks", "BCFKS", "BC", rsa, rsaCertificate);
        store("secret.p12", "PKCS12", "SunJSSE", aes, null);
        store("two.p12", "PKCS12", "SunJSSE", p256, p256Certificate, rsa, rsaCertificate);
        store("mixed.p12", "PKCS12", "SunJSSE", p256, p256Certificate, aes, null);
        store("bc.two.p12", "PKCS12", "BC", p256, p256Certificate, rsa, rsaCertificate);
        for (String name : new String[] {"secp256k1", "brainpool256"}) {
            put("bc." + name + ".pkcs8.der", factory("EC", "BC").generatePrivate(new PKCS8EncodedKeySpec(der(name))).getEncoded());
        }
        put("ed448.pkcs8.der", factory("Ed448", null).generatePrivate(new PKCS8EncodedKeySpec(der("ed448"))).getEncoded());
        put("x448.spki.der", factory("X448", null).generatePublic(new X509EncodedKeySpec(spki("x448"))).getEncoded());
        KeyPairGenerator generator = KeyPairGenerator.getInstance("DH");
        generator.initialize(2048);
        var pair = generator.generateKeyPair();
        put("default.dh.pkcs8.der", pair.getPrivate().getEncoded());
        put("default.dh.spki.der", pair.getPublic().getEncoded());
    }
}
