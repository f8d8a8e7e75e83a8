{{- define "isthmus.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "isthmus.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "isthmus.labels" -}}
{{ include "isthmus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The port of a listener that others can reach; empty for one that is off or on loopback. */}}
{{- define "isthmus.port" -}}
{{- $address := . | default "" -}}
{{- if not (regexMatch "^(127\\.|localhost:|\\[::1\\])" $address) }}{{ regexFind "[0-9]+$" $address }}{{ end }}
{{- end }}

{{/* The listeners that others can reach, by the Service they belong to: {cwmp: [{name, port, protocol}], …}. */}}
{{- define "isthmus.listeners" -}}
{{- $c := .Values.config -}}
{{- $all := list
  (list "cwmp" "cwmp" "TCP" (dig "cwmp" "listen" ":7547" $c))
  (list "cwmp" "cwmp-tls" "TCP" (dig "cwmp" "tls" "listen" "" $c))
  (list "cwmp" "cwmp-old-tls" "TCP" (dig "cwmp" "legacy_tls" "listen" "" $c))
  (list "cwmp" "stun" "UDP" (dig "cwmp" "connection_request" "udp_listen" "" $c))
  (list "cwmp" "transfers" "TCP" (dig "transfers" "listen" "" $c))
  (list "usp" "usp" "TCP" (dig "usp" "websocket_server" "listen" "" $c))
  (list "admin" "admin" "TCP" (dig "admin" "listen" "" $c)) -}}
{{- $found := dict "cwmp" list "usp" list "admin" list -}}
{{- range $all -}}
{{- $port := include "isthmus.port" (index . 3) -}}
{{- if $port -}}
{{- $service := index . 0 -}}
{{- $_ := set $found $service (append (get $found $service) (dict "name" (index . 1) "protocol" (index . 2) "port" (int $port))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end }}

{{/* A probe: HTTP where the admin address can be reached, else the program itself asks. */}}
{{- define "isthmus.probe" -}}
{{- if (include "isthmus.listeners" .root | fromYaml).admin }}
httpGet: { path: {{ .path }}, port: admin, scheme: {{ dig "admin" "tls" "cert_file" "" .root.Values.config | empty | ternary "HTTP" "HTTPS" }} }
{{- else }}
exec: { command: {{ concat (list "/isthmus" "ready" "--admin" (dig "admin" "listen" "127.0.0.1:9647" .root.Values.config)) .flags | toJson }} }
{{- end }}
{{- end }}
